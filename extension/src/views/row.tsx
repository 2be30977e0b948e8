/** One object in the table: its cells, its buttons, and the way to its menu. Whatever the server says is shown as text. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { addBelowIcon, ellipsesIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { formatBytes, formatShape, fraction, holderLabel, objectLabel, typeLabel } from '../format';
import { kindIcon } from '../icons';
import type { IObject, IOperation, IReplica, SortKey } from '../tokens';
import { COLUMNS, CommandIDs } from '../tokens';
import type { IObjectsProps } from './objects';

interface IRowProps extends IObjectsProps {
  readonly object: IObject;
  readonly selected: boolean;
  readonly focusable: boolean;
}

/** Open the context menu of an element, below its left edge: what a right click does, for buttons and keys. */
export function openMenu(element: HTMLElement): void {
  const { left, bottom } = element.getBoundingClientRect();
  element.dispatchEvent(
    new MouseEvent('contextmenu', { bubbles: true, cancelable: true, clientX: left + 4, clientY: bottom - 2 })
  );
}

export function ObjectRow(props: IRowProps): JSX.Element {
  const { focusable, model, object, selected, trans } = props;
  const Icon = kindIcon(object.kind);
  const running = model.state?.operations.find(({ object: id, state }) => id === object.id && state === 'running');
  const select = (): void => {
    model.selection = object.id;
  };
  return (
    <div
      role="row"
      className="wb-Objects-row wb-Objects-columns"
      data-workbench-object={object.id}
      data-name={object.name ?? ''}
      aria-selected={selected}
      tabIndex={focusable ? 0 : -1}
      title={tooltip(object, trans)}
      onClick={select}
      onContextMenu={select}
      onFocus={select}
    >
      {/* Two lines in a narrow panel; in a wide one they dissolve into the columns of the head. */}
      <div role="presentation" className="wb-Objects-line">
        <Cell column="name">
          <Icon.react tag="span" className="wb-Cell-icon" width="16px" height="16px" />
          <span className="wb-Cell-text" data-unnamed={object.name === null || undefined}>
            {objectLabel(object)}
          </span>
        </Cell>
        <Cell column="nbytes">
          <span className="wb-Cell-text">{formatBytes(object.nbytes)}</span>
        </Cell>
        <Cell column="holders">
          <Holders object={object} trans={trans} />
        </Cell>
      </div>
      <div role="presentation" className="wb-Objects-line">
        <Cell column="kind">
          <span className="wb-Cell-text">{typeLabel(object)}</span>
        </Cell>
        <Cell column="shape">
          <span className="wb-Cell-text">{formatShape(object.shape)}</span>
        </Cell>
        <Cell column="nodes">
          {object.replicas.map(replica => (
            <Chip key={replica.node} replica={replica} trans={trans} />
          ))}
          {running && <Arriving operation={running} {...props} />}
        </Cell>
      </div>
      <Buttons {...props} />
    </div>
  );
}

function Cell({ column, children }: { column: SortKey; children: React.ReactNode }): JSX.Element {
  return (
    <div role="gridcell" className="wb-Cell" data-column={column} aria-colindex={COLUMNS.indexOf(column) + 1}>
      {children}
    </div>
  );
}

function Chip({ replica, trans }: { replica: IReplica; trans: TranslationBundle }): JSX.Element {
  const where: Record<string, string> = {
    memory: trans.__('in memory'),
    disk: trans.__('on disk'),
    cached: trans.__('cached')
  };
  const state = where[replica.state] ?? replica.state;
  return (
    <span
      className="wb-Chip"
      data-node={replica.node}
      data-state={replica.state}
      title={trans.__('%1: %2, %3', replica.node_name, state, formatBytes(replica.nbytes))}
    >
      {replica.node_name}
    </span>
  );
}

/** The replica that a running operation makes, with how far it is. */
function Arriving({ model, operation, trans }: IRowProps & { operation: IOperation }): JSX.Element {
  const percent = Math.floor(100 * fraction(operation.done_nbytes, operation.total_nbytes));
  const names = operation.to.map(id => model.state?.nodes.find(node => node.id === id)?.name ?? id).join(', ');
  const label = operation.verb === 'move' ? trans.__('Moving to %1', names) : trans.__('Replicating to %1', names);
  return (
    <span
      className="wb-Chip"
      data-state="arriving"
      role="progressbar"
      aria-label={label}
      aria-valuenow={percent}
      aria-valuemin={0}
      aria-valuemax={100}
      title={label}
    >
      {trans.__('%1 %2 %', names, percent)}
    </span>
  );
}

function Holders({ object, trans }: { object: IObject; trans: TranslationBundle }): JSX.Element {
  const { holders } = object;
  if (holders.length === 0) {
    return <></>;
  }
  const list = holders
    .map(holder => {
      const who = trans.__('%1 (%2 %3)', holder.label, holder.kind, holder.pid);
      return holder.cause ? trans.__('%1: %2', who, holder.cause) : who;
    })
    .join('\n');
  const text = holders.length === 1 ? holderLabel(holders[0]) : trans._n('%1 process', '%1 processes', holders.length);
  return (
    <span className="wb-Cell-text" title={list}>
      {text}
    </span>
  );
}

function Buttons({ commands, object, trans }: IRowProps): JSX.Element {
  const name = objectLabel(object);
  return (
    <div role="gridcell" className="wb-Objects-buttons" aria-colindex={COLUMNS.length + 1}>
      {commands.isEnabled(CommandIDs.insertCode, { object: object.id }) && (
        <button
          className="jp-mod-minimal wb-IconButton wb-mod-insert"
          type="button"
          tabIndex={-1}
          title={commands.caption(CommandIDs.insertCode)}
          aria-label={trans.__('Insert code for %1', name)}
          onClick={() => void commands.execute(CommandIDs.insertCode, { object: object.id })}
        >
          <addBelowIcon.react tag="span" width="16px" />
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
        <ellipsesIcon.react tag="span" width="16px" />
      </button>
    </div>
  );
}

/** All that a row has no room for. */
function tooltip(object: IObject, trans: TranslationBundle): string {
  const dtypes = Object.entries(object.dtypes)
    .slice(0, 12)
    .map(([column, dtype]) => (column ? `${column}: ${dtype}` : dtype));
  return [
    objectLabel(object),
    [object.type, formatShape(object.shape)].filter(Boolean).join(', '),
    object.shared_nbytes > 0
      ? trans.__('%1, and %2 shared with other objects', formatBytes(object.nbytes), formatBytes(object.shared_nbytes))
      : formatBytes(object.nbytes),
    object.pinned ? trans.__('Pinned') : '',
    ...dtypes,
    ...object.notes
  ]
    .filter(Boolean)
    .join('\n');
}
