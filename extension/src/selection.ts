/**
 * Which rows are selected: with a click, with Ctrl, with Shift, as in every list.
 *
 * Covers the keys of rows only; what they stand for is the model's. Pure: each step returns a new selection.
 */

import type { SelectMode } from './tokens';

export interface ISelection {
  readonly keys: ReadonlySet<string>;
  /** Where a range begins, and the row that the keyboard is on. */
  readonly anchor: string | null;
  readonly current: string | null;
}

export const NOTHING: ISelection = { keys: new Set(), anchor: null, current: null };

/** Return the selection after somebody chose a row. */
export function choose(before: ISelection, key: string, mode: SelectMode, order: readonly string[]): ISelection {
  if (mode === 'toggle') {
    const keys = new Set(before.keys);
    if (!keys.delete(key)) {
      keys.add(key);
    }
    return { keys, anchor: key, current: key };
  }
  const from = mode === 'range' && before.anchor !== null ? order.indexOf(before.anchor) : -1;
  const to = order.indexOf(key);
  if (from < 0 || to < 0) {
    return { keys: new Set([key]), anchor: key, current: key };
  }
  const range = order.slice(Math.min(from, to), Math.max(from, to) + 1);
  return { keys: new Set(range), anchor: before.anchor, current: key };
}

/** Return the selection without what is no longer there. */
export function prune(before: ISelection, exists: (key: string) => boolean): ISelection {
  const gone = [...before.keys].some(key => !exists(key));
  const lost = (key: string | null): boolean => key !== null && !exists(key);
  if (!gone && !lost(before.anchor) && !lost(before.current)) {
    return before;
  }
  const keys = new Set([...before.keys].filter(exists));
  return {
    keys,
    anchor: lost(before.anchor) ? null : before.anchor,
    current: lost(before.current) ? null : before.current
  };
}
