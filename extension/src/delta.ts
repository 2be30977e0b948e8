/** What the panel knows after an answer of the server: everything anew, or what it knew with the changes in it. Pure. */

import type { IAnswer, IObject, IState } from './tokens';

export interface IApplied {
  readonly state: IState;
  /** Ids of the objects that came, changed or went; null when everything was told anew. */
  readonly changed: ReadonlySet<string> | null;
}

/** Return the state after an answer; objects that did not change stay the very same values. */
export function apply(before: IState | null, answer: IAnswer): IApplied {
  const { full, removed = [], objects, ...status } = answer;
  if (full !== false || before === null) {
    return { state: { ...status, objects: before === null ? objects : reuse(before.objects, objects) }, changed: null };
  }
  const changed = new Set([...removed, ...objects.map(object => object.id)]);
  if (changed.size === 0) {
    return { state: { ...status, objects: before.objects }, changed };
  }
  const news = new Map(objects.map(object => [object.id, object]));
  const kept: IObject[] = [];
  for (const object of before.objects) {
    if (!changed.has(object.id)) {
      kept.push(object);
    } else if (news.has(object.id)) {
      kept.push(news.get(object.id)!);
      news.delete(object.id);
    }
  }
  return { state: { ...status, objects: [...news.values(), ...kept] }, changed };
}

/** Of a full answer, keep the values that are the same as before: rows that show them need not be drawn again. */
function reuse(before: readonly IObject[], objects: readonly IObject[]): readonly IObject[] {
  if (before.length === 0) {
    return objects;
  }
  const known = new Map(before.map(object => [object.id, object]));
  return objects.map(object => {
    const old = known.get(object.id);
    return old !== undefined && JSON.stringify(old) === JSON.stringify(object) ? old : object;
  });
}
