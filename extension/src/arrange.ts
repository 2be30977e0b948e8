/**
 * Which objects are listed, in which order, and in which groups. Pure.
 *
 * Covers ten thousand objects of which a few change at a time: what changed is merged into the order that was there.
 */

import type { ITerm } from './filter';
import { passes } from './filter';
import { holderLabel, objectLabel, typeLabel } from './format';
import type { Column, Grouping, IObject, ISort, Listing, Row } from './tokens';

const VALUES: Readonly<Record<Column, (object: IObject) => string | number>> = {
  name: objectLabel,
  kind: typeLabel,
  shape: object => (object.shape ?? []).reduce((product, length) => product * length, 1),
  nbytes: object => object.nbytes,
  nodes: object => object.replicas.length,
  holders: object => object.holders.length,
  // The youngest, and what was used last, has the smallest number.
  age: object => -object.created,
  last_used: object => -(object.last_used ?? object.created),
  pinned: object => (object.pinned ? 1 : 0),
  ttl: object => (object.ttl === null || object.ttl === undefined ? Infinity : object.created + object.ttl),
  tags: object => Object.entries(object.tags ?? {}).join()
};

export type Compare = (left: IObject, right: IObject) => number;

/** How two objects are ordered; equal ones by name and id, so that rows do not jump. */
export function comparer(sort: ISort): Compare {
  const value = VALUES[sort.key];
  const direction = sort.ascending ? 1 : -1;
  return (left, right) =>
    direction * compare(value(left), value(right)) || compareNames(left, right) || compare(left.id, right.id);
}

/** Return the objects that pass, sorted. */
export function arrange(objects: readonly IObject[], terms: readonly ITerm[], sort: ISort): IObject[] {
  return objects.filter(object => passes(object, terms)).sort(comparer(sort));
}

/**
 * Return what `arrange` would, from what it returned before.
 *
 * @param before - What was listed.
 * @param objects - All objects as they are now.
 * @param changed - Ids of those that came, changed or went.
 */
export function rearrange(
  before: readonly IObject[],
  objects: readonly IObject[],
  changed: ReadonlySet<string>,
  terms: readonly ITerm[],
  sort: ISort
): IObject[] {
  const order = comparer(sort);
  const news = objects.filter(object => changed.has(object.id) && passes(object, terms)).sort(order);
  const merged: IObject[] = [];
  let next = 0;
  for (const object of before) {
    if (changed.has(object.id)) {
      continue;
    }
    while (next < news.length && order(news[next], object) < 0) {
      merged.push(news[next++]);
    }
    merged.push(object);
  }
  return merged.concat(news.slice(next));
}

/** Whether an object belongs to a listing. */
export function isListed(object: IObject, listing: Listing): boolean {
  return listing === 'objects' || (listing === 'unnamed' && object.name === null);
}

/** Return the rows for sorted objects: each group has a head, and its objects follow unless it is closed. */
export function group(objects: readonly IObject[], grouping: Grouping, closed: ReadonlySet<string>): Row[] {
  if (grouping === 'none') {
    return objects.map(object => ({ type: 'object', key: object.id, object }));
  }
  const groups = new Map<string | null, IObject[]>();
  for (const object of objects) {
    for (const label of LABELS[grouping](object)) {
      const members = groups.get(label);
      if (members === undefined) {
        groups.set(label, [object]);
      } else {
        members.push(object);
      }
    }
  }
  const labels = [...groups.keys()].sort((left, right) =>
    left === null ? 1 : right === null ? -1 : COLLATOR.compare(left, right)
  );
  const rows: Row[] = [];
  for (const label of labels) {
    const members = groups.get(label)!;
    const key = groupKey(grouping, label);
    const open = !closed.has(key);
    const nbytes = members.reduce((sum, object) => sum + object.nbytes, 0);
    rows.push({ type: 'group', key, label, count: members.length, nbytes, open });
    if (open) {
      rows.push(...members.map(object => ({ type: 'object', key: `${object.id} ${key}`, object }) as const));
    }
  }
  return rows;
}

function groupKey(grouping: Grouping, label: string | null): string {
  return label === null ? grouping : `${grouping}:${label}`;
}

/** The groups that an object is in; with several replicas or holders it is in several. */
const LABELS: Readonly<Record<Exclude<Grouping, 'none'>, (object: IObject) => readonly (string | null)[]>> = {
  prefix: ({ name }) => {
    const cut = name === null ? -1 : name.indexOf('/');
    return [name !== null && cut > 0 ? name.slice(0, cut + 1) : null];
  },
  node: ({ replicas }) => (replicas.length > 0 ? replicas.map(replica => replica.node_name) : [null]),
  notebook: ({ holders }) => {
    const notebooks = new Set(holders.filter(holder => holder.kind === 'kernel').map(holderLabel));
    return notebooks.size > 0 ? [...notebooks] : [null];
  },
  dataset: ({ kind, id, name, tags }) => [kind === 'dataset' ? (name ?? id) : (tags?.dataset ?? null)]
};

function compare(left: string | number, right: string | number): number {
  if (typeof left === 'number' && typeof right === 'number') {
    return left === right ? 0 : left < right ? -1 : 1;
  }
  return COLLATOR.compare(String(left), String(right));
}

function compareNames(left: IObject, right: IObject): number {
  return COLLATOR.compare(objectLabel(left), objectLabel(right));
}

const COLLATOR = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
