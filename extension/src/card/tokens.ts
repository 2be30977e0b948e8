/**
 * What is in a card, as the notebook file has it, and what becomes of it.
 *
 * Covers the form (made by `workbench/cards.py`) and reading it: a notebook comes from anywhere, so nothing of it is
 * believed before it was looked at. Read next: `entries.ts`, `views.tsx`.
 */

import type { INode, IObject, IOperation, IReplica } from '../tokens';

export const CARD = 'application/vnd.workbench.object+json';

/** The newest form that is understood. */
const FORM = 1;

/** A snapshot; `time` is in seconds since the epoch, `total` how many there were. */
export type Card = { readonly time: number; readonly total: number } & (
  | { readonly kind: 'object' | 'objects'; readonly values: readonly IObject[] }
  | { readonly kind: 'nodes'; readonly values: readonly INode[] }
  | { readonly kind: 'operations'; readonly values: readonly IOperation[] }
);

type Fields = Readonly<Record<string, unknown>>;

/** Read a card; null when it is none, or of a newer form. */
export function readCard(data: unknown): Card | null {
  if (!isFields(data) || data.form !== FORM || !Array.isArray(data.values)) {
    return null;
  }
  const values = data.values.filter(isFields).filter(({ id }) => typeof id === 'string');
  const about = { time: number(data.time), total: Math.max(number(data.total), values.length) };
  switch (data.kind) {
    case 'object':
    case 'objects':
      return { ...about, kind: data.kind, values: values.map(readObject) };
    case 'nodes':
      return { ...about, kind: data.kind, values: values.map(readNode) };
    case 'operations':
      return { ...about, kind: data.kind, values: values.map(readOperation) };
    default:
      return null;
  }
}

/** Read an object of a card, or an answer of the server: what is missing is empty. */
export function readObject(value: Fields): IObject {
  const read = {
    ...(value as Partial<IObject>),
    id: text(value.id),
    name: typeof value.name === 'string' ? value.name : null,
    names: texts(value.names),
    kind: text(value.kind),
    type: text(value.type),
    shape: Array.isArray(value.shape) ? value.shape.map(number) : null,
    dtypes: {},
    nbytes: number(value.nbytes),
    shared_nbytes: number(value.shared_nbytes),
    created: number(value.created),
    last_used: number(value.last_used),
    ttl: typeof value.ttl === 'number' ? value.ttl : null,
    tags: isFields(value.tags) ? (value.tags as IObject['tags']) : {},
    pinned: value.pinned === true,
    replicas: list(value.replicas).map(readReplica),
    notes: texts(value.notes),
    holders: list(value.holders).map(holder => ({
      pid: number(holder.pid),
      kind: text(holder.kind),
      label: text(holder.label),
      since: number(holder.since),
      nbytes: number(holder.nbytes)
    }))
  };
  return read;
}

function readReplica(value: Fields): IReplica {
  return {
    node: text(value.node),
    node_name: text(value.node_name),
    state: text(value.state),
    nbytes: number(value.nbytes)
  };
}

function readNode(value: Fields): INode {
  return {
    id: text(value.id),
    name: text(value.name),
    address: text(value.address),
    workers: texts(value.workers),
    capacity: number(value.capacity),
    used: number(value.used),
    pooled: number(value.pooled),
    state: text(value.state)
  };
}

const ENDED = new Set(['done', 'failed', 'cancelled']);

function readOperation(value: Fields): IOperation {
  const state = text(value.state);
  const message = text(value.error);
  return {
    id: text(value.id),
    verb: text(value.verb),
    object: text(value.object),
    name: typeof value.name === 'string' ? value.name : null,
    to: texts(value.to),
    state: (ENDED.has(state) ? state : 'running') as IOperation['state'],
    done_nbytes: number(value.done_nbytes),
    total_nbytes: number(value.total_nbytes),
    error: message === '' ? null : { kind: '', message }
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : [];
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}
