/** What a user has arranged is there again after a reload: filter, order, groups, columns and listing. */

import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';

import type { Column, Grouping, ILayout, IWorkbenchModel, Listing } from './tokens';
import { COLUMNS, GROUPINGS, LISTINGS } from './tokens';

const KEY = 'shm-workbench:layout';
const SETTLE = 300;

/** Restore what was saved, and save what is arranged from now on. */
export async function keepLayout(model: IWorkbenchModel, state: IStateDB): Promise<void> {
  model.arrange(readLayout(await state.fetch(KEY).catch(() => undefined)));
  let timer: ReturnType<typeof setTimeout> | undefined;
  model.arranged.connect(() => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const { closed, columns, filter, group, listing, sort } = model.layout;
      const saved = { closed: [...closed], columns: [...columns], filter, group, listing, sort: { ...sort } };
      void state.save(KEY, saved).catch(() => undefined);
    }, SETTLE);
  });
}

/** Of what was saved, by this version or another, what can be used. */
export function readLayout(value: ReadonlyPartialJSONValue | undefined): Partial<ILayout> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return {};
  }
  const { closed, columns, filter, group, listing, sort } = value as Record<string, unknown>;
  const { ascending, key } = (typeof sort === 'object' && sort !== null ? sort : {}) as Record<string, unknown>;
  return {
    ...(typeof filter === 'string' ? { filter } : {}),
    ...(isOneOf<Grouping>(group, GROUPINGS) ? { group } : {}),
    ...(isOneOf<Listing>(listing, LISTINGS) ? { listing } : {}),
    ...(isOneOf<Column>(key, COLUMNS) ? { sort: { key, ascending: ascending !== false } } : {}),
    ...(Array.isArray(columns) ? { columns: columns.filter(column => isOneOf<Column>(column, COLUMNS)) } : {}),
    ...(Array.isArray(closed) ? { closed: closed.filter(each => typeof each === 'string') } : {})
  };
}

function isOneOf<T extends string>(value: unknown, values: readonly T[]): value is T {
  return (values as readonly unknown[]).includes(value);
}
