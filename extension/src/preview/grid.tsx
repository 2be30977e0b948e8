/**
 * A page of rows as a table of page elements: screen readers, browser tests and text search find each cell.
 *
 * Covers the table, its keys and its pager. Arrow keys go from cell to cell and over the end of the page to the next one.
 */

import * as React from 'react';

import type { ITrans } from '../format';
import { ColumnHead } from './column';
import { shown } from './pages';
import type { IPage, IPreview, ISummary, IWindow } from './tokens';

interface IProps {
  readonly label: string;
  readonly page: IPage;
  readonly preview: IPreview;
  readonly summary: ISummary | null;
  readonly trans: ITrans;
  readonly show: (row: number, column: number) => void;
}

export function Grid(props: IProps): JSX.Element {
  const { label, page, preview, summary, trans } = props;
  const { cstart, start } = page.window;
  const region = React.useRef<HTMLDivElement>(null);
  const next = React.useRef<ICell | null>(null);
  // Who went over the end of the page goes on in the new one.
  React.useEffect(() => {
    if (!page.loading && next.current !== null && region.current !== null) {
      focusCell(region.current, next.current);
      next.current = null;
    }
  }, [page]);
  const go = (cell: ICell): void => {
    if (region.current !== null && !focusCell(region.current, cell)) {
      next.current = cell;
      const { columns, rows } = sizeOf(page.window);
      props.show(turn(cell.row, start, rows), turn(cell.column, cstart, columns));
    }
  };
  return (
    <>
      <Pager {...props} />
      <div
        ref={region}
        className="wb-Grid"
        role="region"
        tabIndex={0}
        aria-label={trans.__('Content of %1', label)}
        aria-busy={page.loading}
        data-lm-suppress-shortcuts="true"
        onKeyDown={event => onKey(event, props, go)}
      >
        <table
          role="grid"
          aria-label={label}
          aria-readonly
          aria-rowcount={preview.total_rows + 1}
          aria-colcount={preview.total_columns + 1}
        >
          <thead>
            <tr aria-rowindex={1}>
              <td className="wb-Grid-corner" aria-colindex={1} />
              {preview.columns.map((column, at) => (
                <ColumnHead
                  key={at}
                  at={cstart + at + 2}
                  column={column}
                  rows={preview.total_rows}
                  summary={summary?.columns[at] ?? null}
                  sampled={summary?.sampled === true ? summary.rows : null}
                  trans={trans}
                />
              ))}
            </tr>
          </thead>
          <Body preview={preview} start={start} cstart={cstart} trans={trans} />
        </table>
      </div>
    </>
  );
}

/** Thousands of cells, drawn again only when there is another page. */
const Body = React.memo(AllRows);

function AllRows(props: {
  readonly preview: IPreview;
  readonly start: number;
  readonly cstart: number;
  readonly trans: ITrans;
}): JSX.Element {
  const { cstart, preview, start, trans } = props;
  const right = preview.columns.map(({ dtype }) => isNumber(dtype));
  return (
    <tbody>
      {preview.rows.map((row, y) => (
        <tr key={start + y} aria-rowindex={start + y + 2}>
          <th scope="row" aria-colindex={1}>
            {preview.index[y] ?? start + y}
          </th>
          {row.map((text, x) => (
            <td
              key={x}
              role="gridcell"
              tabIndex={-1}
              aria-colindex={cstart + x + 2}
              aria-label={text === null ? trans.__('missing') : undefined}
              data-cell={`${start + y},${cstart + x}`}
              data-null={text === null || undefined}
              data-number={right[x] || undefined}
              title={text !== null && text.length > 30 ? text : undefined}
            >
              {text ?? '–'}
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  );
}

function Pager({ page, preview, show, trans }: IProps): JSX.Element {
  const { cstart, start } = page.window;
  const { columns, rows } = sizeOf(page.window);
  const { first, last } = shown(page.window, preview);
  const lastPage = Math.floor(Math.max(0, preview.total_rows - 1) / rows) * rows;
  const count = (value: number): string => value.toLocaleString('en-US');
  const toRow = (event: React.FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const wanted = Number(new FormData(event.currentTarget).get('row'));
    if (Number.isFinite(wanted) && wanted >= 1) {
      show(wanted - 1, cstart);
    }
  };
  return (
    <div className="wb-Pager" role="toolbar" aria-label={trans.__('Pages')}>
      <Turn label={trans.__('First rows')} icon="first" disabled={start === 0} go={() => show(0, cstart)} />
      <Turn
        label={trans.__('Rows before')}
        icon="before"
        disabled={start === 0}
        go={() => show(Math.max(0, start - rows), cstart)}
      />
      <span className="wb-Pager-text" role="status">
        {trans.__('Rows %1 – %2 of %3', count(first), count(last), count(preview.total_rows))}
      </span>
      <Turn
        label={trans.__('Rows after')}
        icon="after"
        disabled={last >= preview.total_rows}
        go={() => show(start + rows, cstart)}
      />
      <Turn
        label={trans.__('Last rows')}
        icon="last"
        disabled={last >= preview.total_rows}
        go={() => show(lastPage, cstart)}
      />
      {preview.total_rows > rows && (
        <form className="wb-Pager-form" onSubmit={toRow}>
          <label>
            {trans.__('Go to row')}
            <input className="jp-mod-styled" name="row" inputMode="numeric" pattern="[0-9]*" size={10} />
          </label>
        </form>
      )}
      {preview.total_columns > preview.columns.length && (
        <>
          <Turn
            label={trans.__('Columns before')}
            icon="before"
            disabled={cstart === 0}
            go={() => show(start, Math.max(0, cstart - columns))}
          />
          <span className="wb-Pager-text" role="status">
            {trans.__(
              'Columns %1 – %2 of %3',
              count(cstart + 1),
              count(cstart + preview.columns.length),
              count(preview.total_columns)
            )}
          </span>
          <Turn
            label={trans.__('Columns after')}
            icon="after"
            disabled={cstart + preview.columns.length >= preview.total_columns}
            go={() => show(start, cstart + columns)}
          />
        </>
      )}
    </div>
  );
}

const ARROWS = {
  first: 'M6 5h2v14H6zM18 5v14l-9-7z',
  before: 'M17 5v14L7 12z',
  after: 'M7 5l10 7-10 7z',
  last: 'M16 5h2v14h-2zM6 5l9 7-9 7z'
} as const;

function Turn(props: { label: string; icon: keyof typeof ARROWS; disabled: boolean; go: () => void }): JSX.Element {
  return (
    <button
      className="jp-mod-minimal wb-IconButton"
      type="button"
      title={props.label}
      aria-label={props.label}
      disabled={props.disabled}
      onClick={props.go}
    >
      <svg width={14} height={14} viewBox="0 0 24 24" aria-hidden focusable={false}>
        <path fill="currentColor" d={ARROWS[props.icon]} />
      </svg>
    </button>
  );
}

function sizeOf({ cstart, cstop, start, stop }: IWindow): { rows: number; columns: number } {
  return { rows: stop - start, columns: cstop - cstart };
}

// -- keys -------------------------------------------------------------------------------------------------------------

interface ICell {
  readonly row: number;
  readonly column: number;
}

function onKey(event: React.KeyboardEvent<HTMLElement>, props: IProps, go: (cell: ICell) => void): void {
  const { page, preview } = props;
  const at = cellOf(event.target as HTMLElement);
  const { row, column } = at ?? { row: page.window.start - 1, column: page.window.cstart };
  const end = { row: preview.total_rows - 1, column: preview.total_columns - 1 };
  const size = sizeOf(page.window);
  const far = event.ctrlKey || event.metaKey;
  const targets: Record<string, ICell> = {
    ArrowDown: { row: far ? end.row : row + 1, column },
    ArrowUp: { row: far ? 0 : row - 1, column },
    ArrowRight: { row: Math.max(row, page.window.start), column: at === null ? column : column + 1 },
    ArrowLeft: { row, column: column - 1 },
    PageDown: { row: Math.min(page.window.start + size.rows, end.row), column },
    PageUp: { row: Math.max(page.window.start - size.rows, 0), column },
    Home: { row: far ? 0 : row, column: 0 },
    End: { row: far ? end.row : row, column: end.column }
  };
  const target = targets[event.key];
  if (target === undefined || event.altKey || page.loading) {
    return;
  }
  event.preventDefault();
  if (target.row >= 0 && target.row <= end.row && target.column >= 0 && target.column <= end.column) {
    go(target);
  }
}

function cellOf(element: HTMLElement): ICell | null {
  const cell = element.closest<HTMLElement>('[data-cell]')?.dataset.cell?.split(',').map(Number);
  return cell === undefined ? null : { row: cell[0], column: cell[1] };
}

function focusCell(region: HTMLElement, { row, column }: ICell): boolean {
  const cell = region.querySelector<HTMLElement>(`[data-cell="${row},${column}"]`);
  cell?.focus();
  cell?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  return cell !== null;
}

/** The first row (or column) of the page that has `at`, keeping to whole pages from `first` on. */
function turn(at: number, first: number, size: number): number {
  return Math.max(0, first + Math.floor((at - first) / size) * size);
}

function isNumber(dtype: string): boolean {
  return /^(u?int|float|complex|decimal|double|half)/i.test(dtype);
}
