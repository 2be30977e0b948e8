/** What the filter suggests while somebody types: the chips there are, and values that occur. Pure. */

import type { FilterKey } from './filter';
import { FILTER_KEYS, quote } from './filter';
import type { ITrans } from './format';
import { holderLabel, typeLabel } from './format';
import type { IState } from './tokens';

export interface ISuggestion {
  /** What would stand in the text, and what it means. */
  readonly text: string;
  readonly hint: string;
  /** Whether the user goes on typing after it. */
  readonly open: boolean;
}

const MOST = 8;

/** The word that the cursor is in: from where to where it goes, and what of it is before the cursor. */
export function wordAt(text: string, cursor: number): { start: number; end: number; word: string } {
  let start = 0;
  let quoted = false;
  for (let at = 0; at < cursor; at++) {
    if (text[at] === '"') {
      quoted = !quoted;
    } else if (!quoted && /\s/.test(text[at])) {
      start = at + 1;
    }
  }
  let end = cursor;
  while (end < text.length && (quoted || !/\s/.test(text[end]))) {
    end += 1;
    if (text[end - 1] === '"') {
      quoted = !quoted;
    }
  }
  return { start, end, word: text.slice(start, cursor) };
}

/** Suggestions for the word that is being typed. */
export function suggest(word: string, state: IState | null, trans: ITrans): ISuggestion[] {
  const [, minus, rest] = /^(-?)(.*)$/s.exec(word)!;
  const colon = rest.indexOf(':');
  if (colon < 0) {
    const hints = keyHints(trans);
    return FILTER_KEYS.filter(key => key.startsWith(rest.toLowerCase())).map(key => ({
      text: `${minus}${key}:`,
      hint: hints[key],
      open: true
    }));
  }
  const key = rest.slice(0, colon).toLowerCase() as FilterKey;
  const typed = rest
    .slice(colon + 1)
    .replace(/^"/, '')
    .toLowerCase();
  return values(key, state)
    .filter(value => value.toLowerCase().includes(typed) && value.toLowerCase() !== typed)
    .slice(0, MOST)
    .map(value => ({ text: `${minus}${key}:${key === 'tag' ? value : quote(value)}`, hint: '', open: false }));
}

function keyHints(trans: ITrans): Readonly<Record<FilterKey, string>> {
  return {
    name: trans.__('Name, with * for anything'),
    node: trans.__('Has a replica on this node'),
    kind: trans.__('DataFrame, ndarray, dataset…'),
    size: trans.__('Bytes: >1GB, <10MB'),
    idle: trans.__('Not used for: >1h, >2d'),
    age: trans.__('Put so long ago: >1d'),
    holder: trans.__('Mapped by this notebook or worker'),
    held: trans.__('Mapped by anybody: yes, no'),
    pinned: trans.__('yes, no'),
    state: trans.__('Bytes are in: memory, disk, cached'),
    replicas: trans.__('How many nodes have it: <2'),
    tag: trans.__('Has this tag: project=a')
  };
}

function values(key: FilterKey, state: IState | null): string[] {
  const objects = state?.objects ?? [];
  switch (key) {
    case 'node':
      return (state?.nodes ?? []).map(node => node.name);
    case 'kind':
      return distinct(objects.map(typeLabel));
    case 'holder':
      return distinct(objects.flatMap(object => object.holders.map(holderLabel)));
    case 'name':
      return distinct(
        objects.flatMap(({ name }) => (name?.includes('/') ? [`${name.slice(0, name.indexOf('/'))}/*`] : []))
      );
    case 'tag':
      return distinct(
        objects.flatMap(object => Object.entries(object.tags ?? {}).map(([tag, value]) => `${tag}=${value}`))
      );
    case 'held':
    case 'pinned':
      return ['yes', 'no'];
    case 'state':
      return ['memory', 'disk', 'cached'];
    case 'size':
      return ['>10MB', '>100MB', '>1GB', '<1MB'];
    case 'idle':
    case 'age':
      return ['>10min', '>1h', '>1d', '<10min'];
    case 'replicas':
      return ['<2', '>1'];
    default:
      return [];
  }
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}
