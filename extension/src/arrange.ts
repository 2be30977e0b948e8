/** Which objects are listed and in which order. Pure. */

import { objectLabel } from './format';
import type { IObject, ISort, SortKey } from './tokens';

const VALUES: Record<SortKey, (object: IObject) => string | number> = {
  name: objectLabel,
  kind: object => object.kind,
  shape: object => (object.shape ?? []).reduce((product, length) => product * length, 1),
  nbytes: object => object.nbytes,
  nodes: object => object.replicas.length,
  holders: object => object.holders.length
};

/** Text that a filter is looked for in: names, kind, type, nodes, holders and id. */
function haystack(object: IObject): string {
  return [
    object.id,
    object.kind,
    object.type,
    ...object.names,
    ...object.replicas.map(replica => replica.node_name),
    ...object.holders.map(holder => holder.label)
  ]
    .join('\n')
    .toLowerCase();
}

/** Return the objects in which each word of the filter occurs, sorted; equal ones by name, so that rows do not jump. */
export function arrange(objects: readonly IObject[], filter: string, sort: ISort): IObject[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = objects.filter(object => {
    const text = words.length > 0 ? haystack(object) : '';
    return words.every(word => text.includes(word));
  });
  const value = VALUES[sort.key];
  const direction = sort.ascending ? 1 : -1;
  return found.sort((left, right) => direction * compare(value(left), value(right)) || compareNames(left, right));
}

function compare(left: string | number, right: string | number): number {
  if (typeof left === 'number' && typeof right === 'number') {
    return left - right;
  }
  return COLLATOR.compare(String(left), String(right));
}

function compareNames(left: IObject, right: IObject): number {
  return COLLATOR.compare(objectLabel(left), objectLabel(right)) || compare(left.id, right.id);
}

const COLLATOR = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
