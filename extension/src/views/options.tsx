/** How the list is arranged: what it is grouped and sorted by, and which columns it has. */

import * as React from 'react';

import type { Column, Grouping } from '../tokens';
import { COLUMNS, GROUPINGS } from '../tokens';
import { DESCENDING_FIRST, columnLabels } from './columns';
import { Icon } from './icons';
import type { IViewProps } from './types';

export function Options({ model, trans }: IViewProps): JSX.Element {
  const [open, setOpen] = React.useState(false);
  const place = React.useRef<HTMLDivElement>(null);
  const button = React.useRef<HTMLButtonElement>(null);
  React.useEffect(() => {
    if (!open) {
      return;
    }
    const onPointer = (event: PointerEvent): void => {
      if (!place.current?.contains(event.target as Node)) {
        setOpen(false);
      }
    };
    document.addEventListener('pointerdown', onPointer, true);
    return () => document.removeEventListener('pointerdown', onPointer, true);
  }, [open]);
  const { columns, group, sort } = model.layout;
  const labels = columnLabels(trans);
  const groups: Readonly<Record<Grouping, string>> = {
    none: trans.__('Nothing'),
    prefix: trans.__('Name up to the first /'),
    node: trans.__('Node'),
    notebook: trans.__('Notebook'),
    dataset: trans.__('Dataset')
  };
  const title = trans.__('Group, sort, columns');
  return (
    <div
      className="wb-Options"
      ref={place}
      onKeyDown={event => {
        if (event.key === 'Escape' && open) {
          setOpen(false);
          button.current?.focus();
          event.stopPropagation();
        }
      }}
    >
      <button
        ref={button}
        className="wb-IconButton"
        type="button"
        title={title}
        aria-label={title}
        aria-haspopup="dialog"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        <Icon name="options" />
      </button>
      {open && (
        <div className="wb-Options-box" role="dialog" aria-label={title}>
          <label>
            {trans.__('Group by')}
            <select
              autoFocus
              value={group}
              onChange={event => model.arrange({ group: event.target.value as Grouping, closed: [] })}
            >
              {GROUPINGS.map(each => (
                <option key={each} value={each}>
                  {groups[each]}
                </option>
              ))}
            </select>
          </label>
          <label>
            {trans.__('Sort by')}
            <select
              value={sort.key}
              onChange={event => {
                const key = event.target.value as Column;
                model.arrange({ sort: { key, ascending: !DESCENDING_FIRST.has(key) } });
              }}
            >
              {COLUMNS.map(column => (
                <option key={column} value={column}>
                  {labels[column]}
                </option>
              ))}
            </select>
          </label>
          <label className="wb-Options-check">
            <input
              type="checkbox"
              checked={!sort.ascending}
              onChange={event => model.arrange({ sort: { ...sort, ascending: !event.target.checked } })}
            />
            {trans.__('Descending')}
          </label>
          <fieldset>
            <legend>{trans.__('Columns')}</legend>
            {COLUMNS.filter(column => column !== 'name').map(column => (
              <label key={column} className="wb-Options-check">
                <input
                  type="checkbox"
                  checked={columns.includes(column)}
                  onChange={event =>
                    model.arrange({
                      columns: COLUMNS.filter(each => (each === column ? event.target.checked : columns.includes(each)))
                    })
                  }
                />
                {labels[column]}
              </label>
            ))}
          </fieldset>
        </div>
      )}
    </div>
  );
}
