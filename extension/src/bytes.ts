/** Where a node's bytes are, as parts of a bar. Pure. */

import type { INode } from './tokens';

/** In the order of the bar; `used` stands for all of them where the node does not tell more. */
export const PARTS = ['used', 'sealed', 'cached', 'writing', 'held', 'pooled', 'other'] as const;

export type Part = (typeof PARTS)[number];

export interface ISegment {
  readonly part: Part;
  readonly nbytes: number;
  /** Of the whole bar, from 0 to 1. */
  readonly share: number;
}

/** Bytes that are in use: all but the pool, which goes when room is needed. */
export function inUse({ pooled, used }: { readonly used: number; readonly pooled?: number | null }): number {
  return Math.max(0, used - (pooled ?? 0));
}

/** The parts that a node's memory is in, each byte once; what remains of the bar is free. */
export function segments(node: INode): ISegment[] {
  const known = typeof node.sealed === 'number';
  const pooled = node.pooled ?? 0;
  const nbytes: Readonly<Record<Part, number>> = {
    used: known ? 0 : Math.max(0, node.used - pooled),
    sealed: node.sealed ?? 0,
    cached: (known && node.cached) || 0,
    writing: (known && node.writing) || 0,
    held: (known && node.held) || 0,
    pooled,
    other: (known && node.other) || 0
  };
  const sum = PARTS.reduce((total, part) => total + nbytes[part], 0);
  const whole = Math.max(node.capacity, sum, 1);
  return PARTS.flatMap(part => (nbytes[part] > 0 ? [{ part, nbytes: nbytes[part], share: nbytes[part] / whole }] : []));
}

/** The line of a small chart, from 0 to 1 in both directions: time to the right, bytes down from the top. */
export function sparkline(points: readonly (readonly [number, number])[], capacity: number): string {
  if (points.length < 2) {
    return '';
  }
  const begin = points[0][0];
  const span = Math.max(points[points.length - 1][0] - begin, 1e-9);
  const top = Math.max(capacity, ...points.map(([, used]) => used), 1);
  return points.map(([time, used]) => `${((time - begin) / span).toFixed(4)},${(1 - used / top).toFixed(4)}`).join(' ');
}
