/**
 * The section "Objects": a table that can be sorted, and the messages that stand in its place.
 *
 * Covers the table's head, its keys and its states; a row is in `row.tsx`. It is a grid of page elements rather than a
 * canvas: screen readers and browser tests find each cell.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal, caretDownIcon, caretUpIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import type { IObject, IProblem, IWorkbenchModel, SortKey } from '../tokens';
import { COLUMNS, CommandIDs } from '../tokens';
import { Hint } from './hint';
import { ObjectRow, openMenu } from './row';

export interface IObjectsProps {
  readonly model: IWorkbenchModel;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
}

/** What people put first when they sort: names from A, but the largest size. */
const DESCENDING_FIRST: ReadonlySet<SortKey> = new Set(['shape', 'nbytes', 'nodes', 'holders']);

export function ObjectsView(props: IObjectsProps): JSX.Element {
  const { commands, model } = props;
  return (
    <UseSignal signal={model.changed}>
      {() => (
        <UseSignal signal={commands.commandChanged} shouldUpdate={(_, { id }) => id === CommandIDs.insertCode}>
          {() => (
            <div className="wb-ObjectsView">
              <Message {...props} />
              {(model.state?.objects.length ?? 0) > 0 && <Table {...props} />}
            </div>
          )}
        </UseSignal>
      )}
    </UseSignal>
  );
}

/** What to say above or instead of the table. */
function Message({ model, commands, trans }: IObjectsProps): JSX.Element {
  const { problem, state } = model;
  if (problem !== null) {
    const silent = problem.kind === 'offline' || problem.kind === 'http';
    const title = silent ? trans.__('The server does not answer') : trans.__('The workbench is not available');
    return (
      <Hint kind="warning" title={title} trans={trans}>
        <span>{explain(problem, trans)}</span>
        <button
          className="jp-mod-styled jp-mod-accept wb-Hint-button"
          type="button"
          onClick={() => void commands.execute(CommandIDs.refresh)}
        >
          {trans.__('Try Again')}
        </button>
      </Hint>
    );
  }
  if (state === null) {
    return (
      <div className="wb-Loading" role="status">
        {trans.__('Loading…')}
      </div>
    );
  }
  if (state.error !== null && state.error.kind !== 'no-store') {
    return (
      <Hint kind="warning" title={trans.__('The store cannot be used')} trans={trans}>
        {state.error.message}
      </Hint>
    );
  }
  if (state.objects.length === 0) {
    return (
      <Hint title={trans.__('Nothing shared yet')} code={'%load_ext workbench\n%share df'} trans={trans}>
        {trans.__(
          'Share a variable in a notebook, and every other notebook and Dask worker can use it without a copy:'
        )}
      </Hint>
    );
  }
  if (state.truncated > 0) {
    return (
      <Hint trans={trans}>
        {trans._n('%1 more object is not shown.', '%1 more objects are not shown.', state.truncated)}
      </Hint>
    );
  }
  return <></>;
}

function explain(problem: IProblem, trans: TranslationBundle): string {
  switch (problem.kind) {
    case 'missing':
      return trans.__('The server extension workbench.jupyter.server is not enabled in this Jupyter server.');
    case 'offline':
      return trans.__('The Jupyter server has stopped or cannot be reached. What is shown is what was last known.');
    default:
      return problem.message;
  }
}

function Table(props: IObjectsProps): JSX.Element {
  const { model, trans } = props;
  const { objects, selection } = model;
  const labels: Record<SortKey, string> = {
    name: trans.__('Name'),
    kind: trans.__('Kind'),
    shape: trans.__('Shape'),
    nbytes: trans.__('Size'),
    nodes: trans.__('Nodes'),
    holders: trans.__('Held by')
  };
  const focusable = objects.some(object => object.id === selection) ? selection : objects[0]?.id;
  return (
    <div
      className="wb-Objects"
      role="grid"
      aria-label={trans.__('Objects')}
      aria-rowcount={objects.length + 1}
      aria-colcount={COLUMNS.length + 1}
      data-stale={model.problem !== null || undefined}
    >
      <div role="rowgroup" className="wb-Objects-head">
        <div role="row" className="wb-Objects-columns">
          {COLUMNS.map(column => (
            <Header key={column} column={column} label={labels[column]} model={model} />
          ))}
        </div>
      </div>
      <div role="rowgroup" className="wb-Objects-body" onKeyDown={event => onKey(event, model, objects)}>
        {objects.map(object => (
          <ObjectRow
            key={object.id}
            {...props}
            object={object}
            selected={object.id === selection}
            focusable={object.id === focusable}
          />
        ))}
      </div>
      {objects.length === 0 && <p className="wb-Objects-none">{trans.__('No object matches the filter.')}</p>}
    </div>
  );
}

function Header(props: { column: SortKey; label: string; model: IWorkbenchModel }): JSX.Element {
  const { column, label, model } = props;
  const { sort } = model;
  const current = sort.key === column;
  const order = current ? (sort.ascending ? 'ascending' : 'descending') : 'none';
  const Caret = sort.ascending ? caretUpIcon : caretDownIcon;
  return (
    <div
      role="columnheader"
      className="wb-Objects-header"
      data-column={column}
      aria-colindex={COLUMNS.indexOf(column) + 1}
      aria-sort={order}
    >
      <button
        type="button"
        onClick={() => {
          model.sort = { key: column, ascending: current ? !sort.ascending : !DESCENDING_FIRST.has(column) };
        }}
      >
        <span>{label}</span>
        {current && <Caret.react tag="span" className="wb-Objects-caret" width="16px" />}
      </button>
    </div>
  );
}

/** Arrows, Home and End move the selection; Enter and the menu key open the row's menu. */
function onKey(event: React.KeyboardEvent<HTMLDivElement>, model: IWorkbenchModel, objects: readonly IObject[]): void {
  const row = (event.target as HTMLElement).closest<HTMLElement>('[data-workbench-object]');
  const index = objects.findIndex(object => object.id === row?.dataset.workbenchObject);
  if (row === null || index < 0 || event.target !== row) {
    return;
  }
  const last = objects.length - 1;
  const next: Record<string, number> = {
    ArrowDown: Math.min(index + 1, last),
    ArrowUp: Math.max(index - 1, 0),
    Home: 0,
    End: last
  };
  if (event.key in next) {
    model.selection = objects[next[event.key]].id;
    const rows = event.currentTarget.querySelectorAll<HTMLElement>('[data-workbench-object]');
    rows[next[event.key]]?.focus();
  } else if (event.key === 'Enter' && !event.ctrlKey && !event.metaKey) {
    model.selection = objects[index].id;
    openMenu(row);
  } else if (event.key === ' ') {
    model.selection = objects[index].id;
  } else {
    return;
  }
  event.preventDefault();
}
