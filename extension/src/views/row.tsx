/** A line of the table: an object with its cells and buttons, or the head of a group. What the server says is shown as text. */

import * as React from 'react';

import type { ITrans } from '../format';
import { formatBytes, formatDtypes, formatShape, objectLabel } from '../format';
import type { Column, Grouping, IGroupRow, IObject } from '../tokens';
import { CommandIDs } from '../tokens';
import type { ICellProps } from './columns';
import { CellContent, TO_THE_RIGHT, describeHolder, describeReplica } from './columns';
import { Icon } from './icons';
import type { IViewProps } from './types';

/** What the table knows of a line, of either sort. */
export interface ILineProps extends IViewProps {
  readonly index: number;
  readonly top: number;
  readonly height: number;
  readonly focusable: boolean;
  readonly grouped: boolean;
}

/** Open the context menu of an element, below its left edge: what a right click does, for buttons and keys. */
export function openMenu(element: HTMLElement): void {
  const { left, bottom } = element.getBoundingClientRect();
  element.dispatchEvent(
    new MouseEvent('contextmenu', { bubbles: true, cancelable: true, clientX: left + 4, clientY: bottom - 2 })
  );
}

/**
 * In a narrow panel a row has two lines. What an object is called, how large and of what kind it is, and where, is always there; of the rest of each line,
 * what has room, uncut: a half of a number would be another number.
 */
const FIRST_LINE: ReadonlySet<Column> = new Set(['name', 'holders', 'nbytes']);
const AT_THE_END: ReadonlySet<Column> = new Set(['nbytes', 'nodes']);

export interface IRowProps extends ILineProps, ICellProps {
  readonly columns: readonly Column[];
  readonly rowKey: string;
  readonly selected: boolean;
  readonly fresh: boolean;
  readonly template: string;
}

export function ObjectRow(props: IRowProps): JSX.Element {
  const { columns, focusable, fresh, grouped, height, index, model, narrow, object, rowKey, selected, trans } = props;
  const cells = (some: readonly Column[]): JSX.Element[] =>
    some.map(column => (
      <div
        key={column}
        role="gridcell"
        className="wb-Cell"
        data-column={column}
        data-right={TO_THE_RIGHT.has(column) || undefined}
        aria-colindex={columns.indexOf(column) + 1}
      >
        <CellContent {...props} column={column} />
      </div>
    ));
  return (
    <div
      role="row"
      className="wb-Objects-row"
      data-workbench-object={object.id}
      data-name={object.name ?? ''}
      data-index={index}
      data-fresh={fresh || undefined}
      aria-rowindex={index + 2}
      aria-level={grouped ? 2 : undefined}
      aria-selected={selected}
      tabIndex={focusable ? 0 : -1}
      title={tooltip(object, trans)}
      style={{
        height,
        transform: `translateY(${props.top}px)`,
        gridTemplateColumns: narrow ? undefined : props.template
      }}
      onContextMenu={() => {
        if (!selected) {
          model.select(rowKey);
        }
      }}
    >
      {narrow ? (
        <>
          {[true, false].map(first => {
            const line = columns.filter(column => FIRST_LINE.has(column) === first);
            return (
              <div key={String(first)} role="presentation" className="wb-Objects-line">
                <div role="presentation" className="wb-Objects-part">
                  {cells(line.filter(column => !AT_THE_END.has(column)))}
                </div>
                {cells(line.filter(column => AT_THE_END.has(column)))}
              </div>
            );
          })}
        </>
      ) : (
        cells(columns)
      )}
      <Buttons {...props} />
    </div>
  );
}

function Buttons({ columns, commands, object, trans }: IRowProps): JSX.Element {
  const name = objectLabel(object);
  return (
    <div role="gridcell" className="wb-Objects-buttons" aria-colindex={columns.length + 1}>
      {commands.isEnabled(CommandIDs.insertCode, { object: object.id }) && (
        <button
          className="jp-mod-minimal wb-IconButton wb-mod-insert"
          type="button"
          tabIndex={-1}
          title={commands.caption(CommandIDs.insertCode)}
          aria-label={trans.__('Insert code for %1', name)}
          onClick={() => void commands.execute(CommandIDs.insertCode, { object: object.id })}
        >
          <Icon name="insert" />
        </button>
      )}
      <button
        className="jp-mod-minimal wb-IconButton"
        type="button"
        tabIndex={-1}
        title={trans.__('Actions')}
        aria-label={trans.__('Actions on %1', name)}
        aria-haspopup="menu"
        onClick={event => openMenu(event.currentTarget)}
      >
        <Icon name="menu" />
      </button>
    </div>
  );
}

/** All that a row has no room for. */
function tooltip(object: IObject, trans: ITrans): string {
  const own = formatBytes(object.nbytes);
  const tags = Object.entries(object.tags ?? {}).map(([key, value]) => `${key}=${value}`);
  return [
    object.name ?? object.id,
    [object.type, formatShape(object.shape)].filter(Boolean).join(', '),
    formatDtypes(object.dtypes),
    object.shared_nbytes > 0
      ? trans.__('%1, and %2 shared with other objects', own, formatBytes(object.shared_nbytes))
      : own,
    ...object.replicas.map(replica => describeReplica(replica, trans)),
    ...object.holders.map(holder => trans.__('Held by %1', describeHolder(holder, trans))),
    object.pinned ? trans.__('Pinned') : '',
    ...tags,
    ...object.notes
  ]
    .filter(Boolean)
    .map(text => (text.length > 300 ? `${text.slice(0, 300)}…` : text))
    .join('\n');
}

export function GroupRow(props: ILineProps & { row: IGroupRow; grouping: Grouping; colCount: number }): JSX.Element {
  const { colCount, focusable, grouping, height, index, model, row, top, trans } = props;
  const label = row.label ?? ungrouped(grouping, trans);
  return (
    <div
      role="row"
      className="wb-Objects-group"
      data-workbench-group={row.label ?? ''}
      data-index={index}
      aria-rowindex={index + 2}
      aria-level={1}
      aria-expanded={row.open}
      tabIndex={focusable ? 0 : -1}
      style={{ height, transform: `translateY(${top}px)` }}
      onClick={() => model.toggleGroup(row.key)}
    >
      <div role="gridcell" aria-colindex={1} aria-colspan={colCount} className="wb-Objects-groupCell">
        <span className="wb-Objects-caret" data-open={row.open}>
          <Icon name="chevron" size={12} />
        </span>
        <span className="wb-Cell-text" dir="auto" data-unnamed={row.label === null || undefined}>
          {label}
        </span>
        <span className="wb-Objects-groupCount">
          {trans._n('%1 object, %2', '%1 objects, %2', row.count, formatBytes(row.nbytes))}
        </span>
      </div>
    </div>
  );
}

function ungrouped(grouping: Grouping, trans: ITrans): string {
  switch (grouping) {
    case 'prefix':
      return trans.__('Without a prefix');
    case 'node':
      return trans.__('On no node');
    case 'notebook':
      return trans.__('Held by no notebook');
    default:
      return trans.__('Not a dataset');
  }
}
