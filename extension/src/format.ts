/** Sizes, times, shapes and labels as people read them. Covers text only; what has words takes its translator. */

import type { IHolder, IObject } from './tokens';

/** What translates: JupyterLab's bundle, or whoever stands in for it outside of JupyterLab. */
export interface ITrans {
  __(text: string, ...values: unknown[]): string;
  _n(text: string, plural: string, count: number, ...values: unknown[]): string;
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1536` is `1.5 KiB`; three digits at most, and bytes are never rounded. */
export function formatBytes(nbytes: number): string {
  if (nbytes < 1024) {
    return `${nbytes} B`;
  }
  let value = nbytes;
  let unit = '';
  for (unit of UNITS) {
    value /= 1024;
    if (value < 999.5) {
      break;
    }
  }
  const digits = value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits).replace(/\.0$/, '')} ${unit}`;
}

/** `[336776, 19]` is `336,776 × 19`; a scalar's is `()`, an object without a shape has none. */
export function formatShape(shape: readonly number[] | null): string {
  if (shape === null) {
    return '';
  }
  if (shape.length === 0) {
    return '()';
  }
  return shape.map(length => length.toLocaleString('en-US')).join(' × ');
}

/** Letters that run from right to left, and marks that change the direction of what follows. */
const DIRECTED =
  /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const FIRST_STRONG = '\u2068';
const POP = '\u2069';

/**
 * A name as a part of a sentence: what it has of other directions ends with it (Unicode's FSI and PDI), so that it moves no other word. Names without such
 * are left as they are, for who copies them out of a message.
 */
export function isolate(name: string): string {
  if (!DIRECTED.test(name)) {
    return name;
  }
  let open = 0;
  const balanced = name.replace(/[\u2066-\u2069\u2028\u2029\r\n]/g, mark => {
    if (mark === POP) {
      // One that closes nothing of the name's own would close what we open.
      return open > 0 ? (open--, mark) : '';
    }
    if (mark < '\u2066') {
      // The end of a paragraph ends every isolate.
      return ' ';
    }
    open++;
    return mark;
  });
  return FIRST_STRONG + balanced + POP.repeat(open + 1);
}

/** What a holder is called in a narrow column: a notebook's or script's file name, a worker's own name. */
export function holderLabel(holder: IHolder): string {
  const name = holder.label.split('/').pop();
  return name ? name : `${holder.kind} ${holder.pid}`;
}

/** The name of an object, or the part of its id that tells it from its neighbours. */
export function objectLabel(object: IObject): string {
  return object.name ?? idLabel(object.id);
}

/** What stands for an object without a name. */
export function idLabel(id: string): string {
  return `${id.slice(0, 8)}…${id.slice(-4)}`;
}

/** `pandas.core.frame.DataFrame` is `DataFrame`: the last part of a type's name. */
export function typeLabel(object: IObject): string {
  return object.type.split('.').pop() || object.kind;
}

/** Used part of a capacity, between 0 and 1. */
export function fraction(used: number, capacity: number): number {
  return capacity > 0 ? Math.min(1, Math.max(0, used / capacity)) : 0;
}

/** `90` seconds are `2 min`: one unit, rounded, as people say how long ago something was. */
export function formatDuration(seconds: number, trans: ITrans): string {
  const value = Math.max(0, seconds);
  if (value < 1) {
    return trans.__('now');
  }
  if (value < 60) {
    return trans.__('%1 s', Math.floor(value));
  }
  if (value < 3600) {
    return trans.__('%1 min', Math.round(value / 60));
  }
  if (value < 48 * 3600) {
    return trans.__('%1 h', Math.round(value / 3600));
  }
  return trans.__('%1 d', Math.round(value / 86400));
}

/** All dtypes in a line: `float64`, or how many columns have which: `3 int64, 1 str`. */
export function formatDtypes(dtypes: Readonly<Record<string, string>>): string {
  const counts = new Map<string, number>();
  for (const dtype of Object.values(dtypes)) {
    counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  }
  if (counts.size === 1 && '' in dtypes) {
    return dtypes[''];
  }
  return [...counts]
    .sort((left, right) => right[1] - left[1])
    .map(([dtype, count]) => `${count} ${dtype}`)
    .join(', ');
}
