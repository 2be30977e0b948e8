/**
 * Whether a dataset is whole, as a listing says it: `1 of 3 partitions`, with what that means and what can be done.
 *
 * Covers text only. That partitions are missing is a note of the dataset, made where it is known which nodes have which
 * (`missing_note` in `workbench/finding.py`): by the server, by a kernel, and so also in a card that was saved.
 */

import type { ITrans } from './format';
import type { IObject } from './tokens';

export interface IMissing {
  /** So many partitions are in reach, of so many. */
  readonly reached: number;
  readonly total: number;
  /** The note itself. */
  readonly note: string;
}

/** As `MISSING` in `workbench/objects.py`. */
const NOTE = /^(\d+) of (\d+) partitions are in reach/;

/** What a dataset lacks; null of one that is whole, and of anything else. */
export function missingOf({ kind, notes }: IObject): IMissing | null {
  if (kind !== 'dataset') {
    return null;
  }
  for (const note of notes) {
    const found = NOTE.exec(note);
    if (found !== null) {
      return { reached: Number(found[1]), total: Number(found[2]), note };
    }
  }
  return null;
}

/** As a listing says it. */
export function missingLabel({ reached, total }: IMissing, trans: ITrans): string {
  return trans.__('%1 of %2 partitions', reached, total);
}

/** What it means, and what to do. */
export function missingAdvice({ note }: IMissing, trans: ITrans): string {
  return trans.__(
    '%1. Without them the dataset cannot be computed. Start the nodes that have them, or compute the dataset anew, or delete it.',
    note
  );
}
