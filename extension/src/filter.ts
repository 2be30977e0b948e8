/**
 * What is typed into the filter: words, and chips such as `node:a size:>1GB kind:DataFrame idle:>1h -tag:kind=test`.
 *
 * Covers reading a text as terms, each with its place in the text and what is wrong with it, and whether an object passes.
 * Pure; what is suggested while somebody types is in `suggest.ts`. A term may be negated by a `-` before it, and its value
 * quoted; a comma separates alternatives.
 */

import type { ITrans } from './format';
import { holderLabel, typeLabel } from './format';
import type { IObject } from './tokens';

export const FILTER_KEYS = [
  'name',
  'node',
  'kind',
  'size',
  'idle',
  'age',
  'holder',
  'held',
  'pinned',
  'state',
  'replicas',
  'tag'
] as const;

export type FilterKey = (typeof FILTER_KEYS)[number];

/** A word or a chip of the text, from `start` to `end`; null keys are words. A term with an error lets everything pass. */
export interface ITerm {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly key: FilterKey | null;
  readonly value: string;
  readonly error: string | null;
  readonly test: (object: IObject) => boolean;
}

/** What the terms are judged by: the time, and the names of the nodes there are. */
export interface IContext {
  /** Seconds since the epoch. */
  readonly now: number;
  readonly nodes: readonly string[];
  readonly trans: ITrans;
}

type Test = (object: IObject) => boolean;

/** A value that cannot be understood; the message says why. */
class BadValue extends Error {}

const TERM = /(-?)(?:([a-z]+):)?("(?:[^"\\]|\\.)*"?|\S*)/giy;

/** What units stand for; those with an i are powers of 1024, the others of 1000. */
const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  t: 1e12,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40
};

const DURATIONS: Readonly<Record<string, number>> = { s: 1, min: 60, m: 60, h: 3600, d: 86400, w: 604800 };

/** A comparison with blanks in it, `size:> 10 MiB`, is one term: up to what is a unit, if that is one. */
const UNITS = [...Object.keys(SIZES), ...Object.keys(DURATIONS)].filter(Boolean).join('|');
const AMOUNT = new RegExp(`(-?)(size|idle|age):(\\s*(?:[<>]=?|=)?\\s*[\\d.]+(?:\\s*(?:${UNITS}))?)(?=\\s|$)`, 'giy');

/** Read a filter. */
export function parseFilter(text: string, context: IContext): ITerm[] {
  const terms: ITerm[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at])) {
      at += 1;
      continue;
    }
    AMOUNT.lastIndex = TERM.lastIndex = at;
    const found = AMOUNT.exec(text) ?? TERM.exec(text);
    if (found === null || found[0] === '') {
      at += 1;
      continue;
    }
    terms.push(readTerm(found, at, context));
    at += found[0].length;
  }
  return terms;
}

/** Whether an object passes all terms. */
export function passes(object: IObject, terms: readonly ITerm[]): boolean {
  return terms.every(term => term.test(object));
}

/** Write a value so that it is read as one. */
export function quote(value: string): string {
  return /[\s",\\]/.test(value) ? `"${value.replace(/[\\"]/g, '\\$&')}"` : value;
}

function readTerm(found: RegExpExecArray, start: number, context: IContext): ITerm {
  const [text, minus, word, raw] = found;
  const key = word?.toLowerCase();
  const value = unquote(raw);
  const place = { text, start, end: start + text.length, value };
  const negate = (test: Test): Test => (minus ? object => !test(object) : test);
  if (key === undefined) {
    return { ...place, key: null, error: null, test: value === '' ? pass : negate(wordTest(value)) };
  }
  if (!isKey(key)) {
    // An address or a path has a colon as well: what is no chip is a word, but say so where it looks like a slip.
    const error = context.trans.__('There is no chip “%1:”. There are %2.', key, FILTER_KEYS.join(', '));
    return /^[/\\]/.test(raw)
      ? { ...place, value: text, key: null, error: null, test: negate(wordTest(text)) }
      : { ...place, key: null, error, test: pass };
  }
  try {
    const test = TESTS[key](raw, context);
    return { ...place, key, error: null, test: negate(test) };
  } catch (error) {
    if (error instanceof BadValue) {
      return { ...place, key, error: error.message, test: pass };
    }
    throw error;
  }
}

const pass: Test = () => true;

function isKey(text: string): text is FilterKey {
  return (FILTER_KEYS as readonly string[]).includes(text);
}

function unquote(raw: string): string {
  return raw.startsWith('"') ? raw.slice(1).replace(/"$/, '').replace(/\\(.)/g, '$1') : raw;
}

/** The alternatives in a value; a quoted one is taken as it is. */
function alternatives(raw: string): string[] {
  return raw.startsWith('"') ? [unquote(raw)] : raw.split(',').filter(Boolean);
}

function wordTest(word: string): Test {
  const wanted = word.toLowerCase();
  return object => haystack(object).includes(wanted);
}

const HAYSTACKS = new WeakMap<IObject, string>();

/** Text that a word is looked for in: id, kind, type, names, nodes and holders; made once for each object. */
function haystack(object: IObject): string {
  let text = HAYSTACKS.get(object);
  if (text === undefined) {
    text = [
      object.id,
      object.kind,
      object.type,
      ...object.names,
      ...object.replicas.map(replica => replica.node_name),
      ...object.holders.map(holder => holder.label)
    ]
      .join('\n')
      .toLowerCase();
    HAYSTACKS.set(object, text);
  }
  return text;
}

/** `runs/*` matches from the first to the last letter, a text without `*` and `?` anywhere. */
function pattern(text: string): (candidate: string) => boolean {
  if (!/[*?]/.test(text)) {
    const wanted = text.toLowerCase();
    return candidate => candidate.toLowerCase().includes(wanted);
  }
  const escaped = text
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  const expression = new RegExp(`^${escaped}$`, 'isu');
  return candidate => expression.test(candidate);
}

function anyOf(raw: string, trans: ITrans, example: string, of: (object: IObject) => readonly string[]): Test {
  const wanted = alternatives(raw).map(pattern);
  if (wanted.length === 0) {
    throw new BadValue(trans.__('Something is missing after the colon; for example %1', example));
  }
  return object => {
    const texts = of(object);
    return wanted.some(matches => texts.some(matches));
  };
}

function yesOrNo(raw: string, trans: ITrans, example: string, of: (object: IObject) => boolean): Test {
  const value = raw.toLowerCase();
  if (value === 'yes' || value === 'true') {
    return of;
  }
  if (value === 'no' || value === 'false') {
    return object => !of(object);
  }
  throw new BadValue(trans.__('“%1” is neither yes nor no; for example %2', raw, example));
}

type Compare = (value: number) => boolean;

/** What is compared: how a text is read, and what to say of one that cannot be. */
interface IQuantity {
  readonly read: (text: string) => number | null;
  readonly refuse: (trans: ITrans, text: string, example: string) => string;
}

/** `>1GB`, `<=3`, `=0`; without a sign, at least. */
function comparison(raw: string, trans: ITrans, example: string, { read, refuse }: IQuantity): Compare {
  const [, sign, text] = /^(>=|<=|>|<|=)?(.*)$/s.exec(unquote(raw).trim())!;
  const limit = read(text.trim());
  if (limit === null) {
    throw new BadValue(
      text.trim() === ''
        ? trans.__('Something is missing after the colon; for example %1', example)
        : refuse(trans, text, example)
    );
  }
  switch (sign) {
    case '>':
      return value => value > limit;
    case '<':
      return value => value < limit;
    case '<=':
      return value => value <= limit;
    case '=':
      return value => value === limit;
    default:
      return value => value >= limit;
  }
}

function withUnit(units: Readonly<Record<string, number>>): (text: string) => number | null {
  return text => {
    const found = /^(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)$/i.exec(text);
    const factor = found === null ? undefined : units[found[2].toLowerCase()];
    return found === null || factor === undefined ? null : Number(found[1]) * factor;
  };
}

const SIZE: IQuantity = {
  read: withUnit(SIZES),
  refuse: (trans, text, example) => trans.__('“%1” cannot be read as a size; for example %2', text, example)
};
const DURATION: IQuantity = {
  read: withUnit(DURATIONS),
  refuse: (trans, text, example) => trans.__('“%1” cannot be read as a time; for example %2', text, example)
};
const COUNT: IQuantity = {
  read: text => (/^\d+$/.test(text) ? Number(text) : null),
  refuse: (trans, text, example) => trans.__('“%1” cannot be read as a number; for example %2', text, example)
};

/** Seconds since anybody used an object: none while somebody has it mapped. */
export function idleSeconds(object: IObject, now: number): number {
  return object.holders.length > 0 ? 0 : Math.max(0, now - Math.max(object.last_used ?? 0, object.created));
}

const TESTS: Readonly<Record<FilterKey, (raw: string, context: IContext) => Test>> = {
  name: (raw, { trans }) => anyOf(raw, trans, 'name:runs/*', object => object.names),
  node: (raw, { nodes, trans }) => {
    for (const wanted of alternatives(raw)) {
      if (nodes.length > 0 && !nodes.some(pattern(wanted))) {
        throw new BadValue(trans.__('No node is called “%1”. There are %2.', wanted, nodes.slice(0, 8).join(', ')));
      }
    }
    // `node-1` means that one, and not `node-10` too, where there is one of that name.
    const exact = new Set(alternatives(raw).filter(wanted => nodes.includes(wanted)));
    const test = anyOf(raw, trans, 'node:a', object => object.replicas.map(replica => replica.node_name));
    return exact.size > 0 && exact.size === alternatives(raw).length
      ? object => object.replicas.some(replica => exact.has(replica.node_name))
      : test;
  },
  kind: (raw, { trans }) => {
    const wanted = alternatives(raw).map(text => text.toLowerCase());
    if (wanted.length === 0) {
      throw new BadValue(trans.__('Something is missing after the colon; for example %1', 'kind:DataFrame'));
    }
    return object => wanted.includes(object.kind.toLowerCase()) || wanted.includes(typeLabel(object).toLowerCase());
  },
  size: (raw, { trans }) => {
    const test = comparison(raw, trans, 'size:>1GB', SIZE);
    return object => test(object.nbytes);
  },
  idle: (raw, { now, trans }) => {
    const test = comparison(raw, trans, 'idle:>1h', DURATION);
    return object => test(idleSeconds(object, now));
  },
  age: (raw, { now, trans }) => {
    const test = comparison(raw, trans, 'age:>2d', DURATION);
    return object => test(now - object.created);
  },
  holder: (raw, { trans }) =>
    anyOf(raw, trans, 'holder:analysis.ipynb', object =>
      object.holders.flatMap(holder => [holder.label, holderLabel(holder), holder.kind, String(holder.pid)])
    ),
  held: (raw, { trans }) => yesOrNo(raw, trans, 'held:no', object => object.holders.length > 0),
  pinned: (raw, { trans }) => yesOrNo(raw, trans, 'pinned:yes', object => object.pinned),
  state: (raw, { trans }) => {
    const wanted = alternatives(raw.toLowerCase());
    const bad = wanted.find(state => !['memory', 'disk', 'cached'].includes(state));
    if (bad !== undefined || wanted.length === 0) {
      throw new BadValue(trans.__('A replica is in memory, on disk or cached; for example %1', 'state:disk'));
    }
    return object => object.replicas.some(replica => wanted.includes(replica.state));
  },
  replicas: (raw, { trans }) => {
    const test = comparison(raw, trans, 'replicas:<2', COUNT);
    return object => test(object.replicas.length);
  },
  tag: (raw, { trans }) => {
    const [, key, value] = /^([^=]*)(?:=(.*))?$/s.exec(unquote(raw))!;
    if (key === '') {
      throw new BadValue(trans.__('Something is missing after the colon; for example %1', 'tag:project=a'));
    }
    const matches = value === undefined ? (): boolean => true : pattern(value);
    return object => Object.entries(object.tags ?? {}).some(([tag, text]) => tag === key && matches(text));
  }
};
