/**
 * The table of objects: a grid of page elements that can be sorted, of which only what can be seen is drawn.
 *
 * Covers the head, the keys and the mouse; a line is in `row.tsx`, which lines are drawn in `window.tsx`. It is no canvas:
 * screen readers and browser tests find each cell.
 */

import * as React from 'react';

import type { Column, Row } from '../tokens';
import { COLUMNS, CommandIDs } from '../tokens';
import { COLUMN_WIDTHS, DESCENDING_FIRST, TO_THE_RIGHT, columnLabels } from './columns';
import { Icon } from './icons';
import { GroupRow, ObjectRow, openMenu } from './row';
import type { IViewProps } from './types';
import { useNow, useSize } from './use';
import { useWindow } from './window';

const WIDE = 680;
const WIDE_ROW = 26;
const NARROW_ROW = 46;
const HEAD = 25;
const BUTTONS = '44px';

/** So far must the pointer go until it drags. */
const DRAG_DISTANCE = 6;

/** The two lines of a narrow row have room for these only. */
const NARROW_HEADS: ReadonlySet<Column> = new Set(['name', 'holders', 'nbytes']);

export function ObjectTable(props: IViewProps): JSX.Element {
  const { model, trans } = props;
  const { layout, rows } = model;
  const scroller = React.useRef<HTMLDivElement>(null);
  const { width, height } = useSize(scroller);
  const now = useNow(15);
  const narrow = width > 0 && width < WIDE;
  const grouped = layout.group !== 'none';
  const columns = COLUMNS.filter(column => column === 'name' || layout.columns.includes(column));
  const template = [...columns.map(column => COLUMN_WIDTHS[column]), BUTTONS].join(' ');
  const keys = React.useMemo(() => rows.map(row => row.key), [rows]);
  const current = React.useMemo(
    () => (model.current === null ? -1 : keys.indexOf(model.current)),
    [keys, model.current]
  );
  const rowHeight = narrow ? NARROW_ROW : WIDE_ROW;
  const { filter, group, listing, sort } = layout;
  const view = useWindow({
    scroller,
    keys,
    rowHeight,
    height,
    headHeight: HEAD,
    current,
    arrangement: [filter, group, listing, sort.key, sort.ascending].join('\n')
  });
  const keyboard = useKeyboard(props, scroller, current, view.show);
  const pointer = usePointer(props);
  const focusable = current >= 0 ? current : (view.indices[0] ?? 0);
  const operations = model.state?.operations.filter(({ state }) => state === 'running') ?? [];
  return (
    <div
      ref={scroller}
      className="wb-Objects"
      role={grouped ? 'treegrid' : 'grid'}
      aria-label={trans.__('Objects')}
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length + 1}
      aria-multiselectable
      data-stale={model.problem !== null || undefined}
      data-narrow={narrow || undefined}
      onScroll={view.onScroll}
    >
      <div role="rowgroup" className="wb-Objects-head">
        <div
          role="row"
          aria-rowindex={1}
          className="wb-Objects-headRow"
          style={{ gridTemplateColumns: narrow ? undefined : template }}
        >
          {columns
            .filter(column => !narrow || NARROW_HEADS.has(column))
            .map(column => (
              <Header key={column} {...props} column={column} index={columns.indexOf(column) + 1} />
            ))}
        </div>
      </div>
      <div role="rowgroup" className="wb-Objects-body" style={{ height: view.total }} {...keyboard} {...pointer}>
        {view.indices.map(index => {
          const row = rows[index];
          const line = {
            ...props,
            index,
            top: index * rowHeight,
            height: rowHeight,
            focusable: index === focusable,
            grouped
          };
          return row.type === 'group' ? (
            <GroupRow key={row.key} {...line} row={row} grouping={layout.group} colCount={columns.length + 1} />
          ) : (
            <ObjectRow
              key={row.key}
              {...line}
              rowKey={row.key}
              object={row.object}
              columns={columns}
              template={template}
              narrow={narrow}
              width={width}
              now={now}
              selected={model.selected.has(row.key)}
              fresh={model.isFresh(row.object.id)}
              operation={operations.find(({ object }) => object === row.object.id)}
            />
          );
        })}
      </div>
      {rows.length === 0 && (
        <div role="row" className="wb-Objects-none">
          <div role="gridcell">
            {model.counts[listing] === 0
              ? trans.__('Every object has a name.')
              : trans.__('No object matches the filter.')}
          </div>
        </div>
      )}
    </div>
  );
}

function Header(props: IViewProps & { column: Column; index: number }): JSX.Element {
  const { column, index, model, trans } = props;
  const { sort } = model.layout;
  const current = sort.key === column;
  const order = current ? (sort.ascending ? 'ascending' : 'descending') : 'none';
  return (
    <div
      role="columnheader"
      className="wb-Objects-header"
      data-column={column}
      data-right={TO_THE_RIGHT.has(column) || undefined}
      aria-colindex={index}
      aria-sort={order}
    >
      <button
        type="button"
        onClick={() => {
          const ascending = current ? !sort.ascending : !DESCENDING_FIRST.has(column);
          model.arrange({ sort: { key: column, ascending } });
        }}
      >
        <span>{columnLabels(trans)[column]}</span>
        {current && <Icon name={sort.ascending ? 'up' : 'down'} size={10} />}
      </button>
    </div>
  );
}

type BodyProps = React.HTMLAttributes<HTMLDivElement>;

/** Arrows, Page, Home and End move and, with Shift, select; Space selects; Enter shows what is in an object, the menu key opens its menu. */
function useKeyboard(
  props: IViewProps,
  scroller: React.RefObject<HTMLElement>,
  current: number,
  show: (index: number) => void
): BodyProps {
  const { commands, model } = props;
  const wanted = React.useRef(false);
  React.useLayoutEffect(() => {
    if (wanted.current && current >= 0) {
      wanted.current = false;
      show(current);
      scroller.current?.querySelector<HTMLElement>(`[data-index="${current}"]`)?.focus({ preventScroll: true });
    }
  });
  const go = (index: number, extend: boolean): void => {
    wanted.current = true;
    model.select(model.rows[index].key, extend ? 'range' : 'only');
  };
  const onKeyDown = (event: React.KeyboardEvent<HTMLElement>): void => {
    const target = event.target as HTMLElement;
    const index = Number(target.dataset.index ?? NaN);
    const row = Number.isNaN(index) ? undefined : model.rows[index];
    const accel = event.ctrlKey || event.metaKey;
    if (row === undefined) {
      return;
    }
    const last = model.rows.length - 1;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / NARROW_ROW) - 1);
    const steps: Record<string, number> = {
      ArrowDown: Math.min(index + 1, last),
      ArrowUp: Math.max(index - 1, 0),
      PageDown: Math.min(index + page, last),
      PageUp: Math.max(index - page, 0),
      Home: 0,
      End: last
    };
    if (event.key in steps && !accel) {
      go(steps[event.key], event.shiftKey);
    } else if (accel && event.key.toLowerCase() === 'a') {
      model.selectAll();
    } else if (event.key === 'Escape') {
      model.select(null);
    } else if (row.type === 'group') {
      if (!groupKey(event.key, row, model.toggleGroup.bind(model))) {
        return;
      }
    } else if (event.key === 'Enter' && !accel) {
      if (!model.selected.has(row.key)) {
        model.select(row.key);
      }
      const seen = { object: row.object.id };
      if (model.selection.length === 1 && commands.isEnabled(CommandIDs.preview, seen)) {
        void commands.execute(CommandIDs.preview, seen);
      } else {
        openMenu(target);
      }
    } else if (event.key === ' ') {
      model.select(row.key, accel ? 'toggle' : 'only');
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  // Who comes in with Tab is on a row, though nothing is selected yet.
  const onFocus = (event: React.FocusEvent<HTMLElement>): void => {
    const index = Number(event.target.dataset.index ?? NaN);
    const row = Number.isNaN(index) ? undefined : model.rows[index];
    if (row !== undefined && model.current === null && row.type === 'object') {
      model.select(row.key);
    }
  };
  return { onKeyDown, onFocus };
}

function groupKey(key: string, row: Row & { type: 'group' }, toggle: (key: string) => void): boolean {
  const act =
    key === 'Enter' || key === ' ' || (key === 'ArrowRight' && !row.open) || (key === 'ArrowLeft' && row.open);
  if (act) {
    toggle(row.key);
  }
  return act;
}

/** A click selects, with Ctrl one more, with Shift up to here; a double click shows what is in it; from a row one drags. */
function usePointer({ commands, model, onDrag }: IViewProps): BodyProps {
  const start = React.useRef<{ x: number; y: number; key: string; id: string } | null>(null);
  const rowOf = (event: React.MouseEvent): { key: string; id: string } | null => {
    const target = event.target as HTMLElement;
    const element = target.closest<HTMLElement>('[data-workbench-object]');
    const row = element === null ? undefined : model.rows[Number(element.dataset.index)];
    return row?.type === 'object' && target.closest('button') === null ? { key: row.key, id: row.object.id } : null;
  };
  return {
    onClick: event => {
      const row = rowOf(event);
      if (row !== null) {
        model.select(row.key, event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'toggle' : 'only');
      }
    },
    onDoubleClick: event => {
      const row = rowOf(event);
      if (row !== null && commands.isEnabled(CommandIDs.preview, { object: row.id })) {
        void commands.execute(CommandIDs.preview, { object: row.id });
      }
    },
    onPointerDown: event => {
      const row = rowOf(event);
      start.current = row === null || event.button !== 0 ? null : { x: event.clientX, y: event.clientY, ...row };
    },
    onPointerUp: () => {
      start.current = null;
    },
    onPointerMove: event => {
      const from = start.current;
      if (from === null || onDrag === undefined || (event.buttons & 1) === 0) {
        return;
      }
      if (Math.hypot(event.clientX - from.x, event.clientY - from.y) >= DRAG_DISTANCE) {
        start.current = null;
        // What is selected goes along, when it is a part of it that is dragged.
        if (!model.selected.has(from.key)) {
          model.select(from.key);
        }
        onDrag(model.selection, event);
      }
    }
  };
}
