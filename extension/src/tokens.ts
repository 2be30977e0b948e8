/**
 * The contract of the panel: what the server tells, what the model offers, how the commands are called.
 *
 * Covers types and names only. Read next: `model.ts`, then `panel.tsx`.
 */

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

/** Of the translations. */
export const DOMAIN = 'shm_workbench';

/** Something changed: an event of this schema is a hint to ask again, and never data. */
export const EVENT_SCHEMA = 'https://schema.workbench.dev/changed/v1';

/** Where a replica's bytes are: `memory`, `disk` or `cached`. Sizes are in bytes, times in seconds since the epoch. */
export interface IReplica {
  readonly node: string;
  readonly node_name: string;
  readonly state: string;
  readonly nbytes: number;
}

/** A process that has an object mapped. */
export interface IHolder {
  readonly pid: number;
  readonly kind: string;
  readonly label: string;
  readonly since: number;
  readonly nbytes: number;
  /** What in the process keeps it: variables and outputs of a notebook; empty where the process does not tell. */
  readonly cause?: string;
}

export interface IObject {
  readonly id: string;
  readonly name: string | null;
  readonly names: readonly string[];
  readonly kind: string;
  readonly type: string;
  readonly shape: readonly number[] | null;
  readonly dtypes: Readonly<Record<string, string>>;
  readonly nbytes: number;
  readonly shared_nbytes: number;
  readonly created: number;
  readonly pinned: boolean;
  readonly replicas: readonly IReplica[];
  readonly notes: readonly string[];
  readonly holders: readonly IHolder[];
}

/** A host as the cluster sees it; `state` is `running`, `lost` or `local` (no cluster). */
export interface INode {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly workers: readonly string[];
  readonly capacity: number;
  readonly used: number;
  /** Bytes of what is used that no object has: kept ready for the next put. */
  readonly pooled?: number;
  readonly state: string;
}

export interface IProblem {
  readonly kind: string;
  readonly message: string;
}

export interface IOperation {
  readonly id: string;
  readonly verb: string;
  readonly object: string;
  readonly name: string | null;
  readonly to: readonly string[];
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  readonly done_nbytes: number;
  readonly total_nbytes: number;
  readonly error: IProblem | null;
}

/** What `GET workbench/api/state` answers. */
export interface IState {
  readonly version: string;
  readonly store: { readonly directory: string; readonly node: string } | null;
  readonly error: IProblem | null;
  readonly cluster: {
    readonly state: 'none' | 'connected' | 'unreachable';
    readonly address: string | null;
    readonly message: string | null;
  };
  readonly nodes: readonly INode[];
  readonly objects: readonly IObject[];
  readonly operations: readonly IOperation[];
  readonly truncated: number;
}

/** The requests that the panel makes; each rejects with an error whose message can be shown. */
export interface IApi {
  state(): Promise<IState>;
  move(object: string, node: string): Promise<IOperation>;
  replicate(object: string, nodes: readonly string[]): Promise<IOperation>;
  drop(object: string, node: string, force?: boolean): Promise<void>;
  delete(object: string): Promise<void>;
}

/** The columns of the list of objects, from left to right. */
export const COLUMNS = ['name', 'kind', 'shape', 'nbytes', 'nodes', 'holders'] as const;

export type SortKey = (typeof COLUMNS)[number];

export interface ISort {
  readonly key: SortKey;
  readonly ascending: boolean;
}

/** What the panel shows and the commands act on, without any of the page's elements. */
export interface IWorkbenchModel extends IDisposable {
  /** Emitted when anything below changed. */
  readonly changed: ISignal<IWorkbenchModel, void>;

  /** The requests themselves. */
  readonly api: IApi;

  /** The newest state, null until the first answer; it stays when the server is no longer heard. */
  readonly state: IState | null;

  /** Why the newest request failed, or null. */
  readonly problem: IProblem | null;

  /** The objects that pass the filter, sorted. */
  readonly objects: readonly IObject[];

  /** Whether the panel is seen: only while somebody looks, there or elsewhere, is the server asked. */
  active: boolean;

  /** Look at the state elsewhere than in the panel, until the result is disposed. */
  look(): IDisposable;

  filter: string;
  sort: ISort;

  /** Id of the selected object, null when none is. */
  selection: string | null;

  /** The object of an id, or the selected one. */
  find(id?: string | null): IObject | undefined;

  /** The nodes that could take a replica of an object, and those that have one. */
  targets(object: IObject): INode[];
  holding(object: IObject): INode[];

  /** Ask the server now; resolves when the answer is in `state` or `problem`. */
  refresh(): Promise<void>;

  /** Follow an operation to its end, hidden panel or not. */
  follow(operation: IOperation, progress?: (operation: IOperation) => void): Promise<IOperation>;
}

export const IWorkbenchModel = new Token<IWorkbenchModel>(
  'shm-workbench:IWorkbenchModel',
  'The objects in shared memory, the nodes that have them and the operations on them.'
);

export namespace CommandIDs {
  export const openPanel = 'workbench:open-panel';
  export const refresh = 'workbench:refresh';
  export const insertCode = 'workbench:insert-code';
  export const copyName = 'workbench:copy-name';
  export const replicate = 'workbench:replicate';
  export const move = 'workbench:move';
  export const drop = 'workbench:drop';
  export const deleteObject = 'workbench:delete';
  export const preview = 'workbench:preview';
}
