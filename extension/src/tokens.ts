/**
 * The contract of the panel: what the server tells, what the model offers, how the commands are called.
 *
 * Covers types and names only. Read next: `model.ts`, then `panel.tsx`.
 */

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { ITerm } from './filter';

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
  /** Id of the object; null when it was deleted. */
  readonly object?: string | null;
  /** The object's name; of a deleted one, what it was called. */
  readonly name?: string | null;
  /** Path of the notebook for the server's contents, where there is one. */
  readonly path?: string | null;
}

export interface IObject {
  readonly id: string;
  readonly name: string | null;
  readonly names: readonly string[];
  readonly kind: string;
  readonly type: string;
  readonly shape: readonly number[] | null;
  readonly dtypes: Readonly<Record<string, string>>;
  /** Bytes that the object owns, and those that it refers to in the segments of others. */
  readonly nbytes: number;
  readonly shared_nbytes: number;
  readonly created: number;
  readonly last_used: number;
  readonly pinned: boolean;
  /** Seconds from `created`, or null. */
  readonly ttl: number | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly replicas: readonly IReplica[];
  readonly notes: readonly string[];
  /** Whether it is so small that it lies in the store's catalog. */
  readonly inline?: boolean;
  readonly holders: readonly IHolder[];
}

/** Where a node's bytes are; null where it is not known. Each byte is in one of them, `spilled` ones lie on disk. */
export interface INodeBytes {
  readonly sealed?: number | null;
  readonly pooled?: number | null;
  /** Deleted, and still mapped by somebody. */
  readonly held?: number | null;
  readonly writing?: number | null;
  readonly cached?: number | null;
  readonly spilled?: number | null;
  /** What others than the workbench use of the memory that the store may use. */
  readonly other?: number | null;
  readonly free?: number | null;
}

/** A host as the cluster sees it; `state` is `running`, `draining`, `drained`, `lost` or `local` (no cluster). */
export interface INode extends INodeBytes {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly workers: readonly string[];
  readonly capacity: number;
  readonly used: number;
  readonly state: string;
  /** When the node was last heard of. */
  readonly heartbeat?: number | null;
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
  readonly rate?: number | null;
  /** Seconds left. */
  readonly eta?: number | null;
  readonly reasons?: readonly string[];
}

/** What the user may: look, change objects, and have nodes do something. */
export interface IPermissions {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
}

/** What is true of the store, the cluster and the nodes, beside the objects. */
export interface IStatus {
  readonly version: string;
  readonly store: {
    readonly directory: string;
    readonly node: string;
    readonly memory?: INodeBytes & { readonly used: number; readonly capacity: number };
  } | null;
  readonly error: IProblem | null;
  readonly cluster: {
    readonly state: 'none' | 'looking' | 'connected' | 'unreachable';
    readonly address: string | null;
    readonly message: string | null;
  };
  readonly nodes: readonly INode[];
  readonly operations: readonly IOperation[];
  readonly truncated: number;
  /** What is deleted and still mapped: one for each process and object. */
  readonly deleted?: readonly IHolder[];
  readonly permissions?: IPermissions;
  /** Bytes used over time, by node: pairs of seconds since the epoch and bytes. */
  readonly history?: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  readonly versions?: { readonly server: string; readonly cluster: string | null };
}

/** Everything that the panel shows. */
export interface IState extends IStatus {
  readonly objects: readonly IObject[];
  /** Whether these are only the first, and all the others are on their way. */
  readonly partial?: boolean;
}

/** What `GET workbench/api/state` answers: all objects, or those that changed since the version that was asked about. */
export interface IAnswer extends IState {
  readonly full?: boolean;
  readonly removed?: readonly string[];
}

/** How new an answer has to be, and how complete. */
export interface IAsked {
  /** What is known is enough, where it is no older than this version, which an event told of. */
  readonly told?: string;
  /** So many objects are enough, where the server has not looked yet. */
  readonly first?: number;
}

/** What would happen if something were done. */
export interface IPlan {
  readonly nbytes: number;
  readonly seconds: number | null;
  readonly evicts: readonly {
    readonly node: string;
    readonly name: string | null;
    readonly id: string | null;
    readonly nbytes: number | null;
    /** `pool`, `cached` or `spill`; `missing` is what no room can be made for. */
    readonly what: string;
  }[];
  readonly refused: IProblem | null;
  readonly last_replica: boolean;
}

export type Verb = 'move' | 'replicate' | 'drop' | 'spill' | 'restore' | 'delete';

export interface IPlanRequest {
  readonly verb: Verb;
  readonly to?: readonly string[];
  readonly n?: number;
  readonly node?: string;
}

/** Partitions of a dataset, and where each is. */
export interface IPartitions {
  readonly total: number;
  readonly partitions: readonly {
    readonly id: string | null;
    readonly index: number;
    readonly nbytes: number;
    readonly replicas: readonly { readonly node: string; readonly state: string }[];
  }[];
}

export interface IDeleted {
  readonly deleted: readonly string[];
  readonly failed: readonly (IProblem & { readonly id: string })[];
}

export interface IFreed {
  readonly freed: number;
  readonly kept: readonly unknown[];
}

/** The requests that the panel makes; each rejects with an error whose message can be shown. */
export interface IApi {
  state(since?: string, asked?: IAsked): Promise<IAnswer>;
  plan(object: string, request: IPlanRequest): Promise<IPlan>;
  planDrain(node: string): Promise<IPlan>;
  move(object: string, node: string): Promise<IOperation>;
  replicate(object: string, nodes: readonly string[]): Promise<IOperation>;
  drop(object: string, node: string, force?: boolean): Promise<void>;
  delete(object: string): Promise<void>;
  deleteMany(objects: readonly string[]): Promise<IDeleted>;
  pin(object: string, pinned: boolean): Promise<void>;
  spill(object: string): Promise<void>;
  restore(object: string): Promise<void>;
  rename(object: string, name: string): Promise<void>;
  /** The operation, where it takes so long that there is one. */
  save(object: string, url: string): Promise<IOperation | undefined>;
  drain(node: string): Promise<readonly IOperation[]>;
  undrain(node: string): Promise<void>;
  cancel(operation: string): Promise<void>;
  free(): Promise<IFreed>;
  partitions(object: string, start: number, stop: number): Promise<IPartitions>;
}

/** The columns of the list of objects, from left to right. */
export const COLUMNS = [
  'name',
  'kind',
  'shape',
  'nbytes',
  'nodes',
  'holders',
  'age',
  'last_used',
  'pinned',
  'ttl',
  'tags'
] as const;

export type Column = (typeof COLUMNS)[number];

/** Those that are shown until somebody chooses others. The name is always shown. */
export const DEFAULT_COLUMNS: readonly Column[] = ['name', 'kind', 'shape', 'nbytes', 'nodes', 'holders'];

export interface ISort {
  readonly key: Column;
  readonly ascending: boolean;
}

export const GROUPINGS = ['none', 'prefix', 'node', 'notebook', 'dataset'] as const;

export type Grouping = (typeof GROUPINGS)[number];

/** All objects, those without a name, and what is deleted but still mapped. */
export const LISTINGS = ['objects', 'unnamed', 'deleted'] as const;

export type Listing = (typeof LISTINGS)[number];

/** What a user has arranged, and finds again after a reload. */
export interface ILayout {
  readonly filter: string;
  readonly sort: ISort;
  readonly group: Grouping;
  readonly columns: readonly Column[];
  readonly listing: Listing;
  /** Keys of the groups that are closed. */
  readonly closed: readonly string[];
}

/** A line of the list: an object, or the head of a group of them. */
export type Row = IObjectRow | IGroupRow;

export interface IObjectRow {
  readonly type: 'object';
  readonly key: string;
  readonly object: IObject;
}

export interface IGroupRow {
  readonly type: 'group';
  readonly key: string;
  /** Null where the objects have nothing to be grouped by. */
  readonly label: string | null;
  readonly count: number;
  readonly nbytes: number;
  readonly open: boolean;
}

/** How somebody selects: this one only, also this one, or all up to this one. */
export type SelectMode = 'only' | 'toggle' | 'range';

/** What the panel shows and the commands act on, without any of the page's elements. */
export interface IWorkbenchModel extends IDisposable {
  /** Emitted when anything below changed. */
  readonly changed: ISignal<IWorkbenchModel, void>;

  /** Emitted when the user arranged something anew: see `layout`. */
  readonly arranged: ISignal<IWorkbenchModel, void>;

  /** The requests themselves. */
  readonly api: IApi;

  /** The newest state, null until the first answer; it stays when the server is no longer heard. */
  readonly state: IState | null;

  /** Why the newest request failed, or null. */
  readonly problem: IProblem | null;

  /** What the user may; everything where the server does not say. */
  readonly permissions: IPermissions;

  /** The objects that pass the filter, sorted; and the same with the heads of groups, less what is in closed ones. */
  readonly objects: readonly IObject[];
  readonly rows: readonly Row[];

  /** How many objects each listing has, filtered or not. */
  readonly counts: Readonly<Record<Listing, number>>;

  /** Whether the panel is seen: only while somebody looks, there or elsewhere, is the server asked at once. */
  active: boolean;

  /** Look at the state elsewhere than in the panel, until the result is disposed. */
  look(): IDisposable;

  /** Whether somebody sees a part of it, as the status bar: then the server is asked now and then. */
  glancing: boolean;

  /** Whether the list stands still though objects come and go; `pending` counts those that did. */
  paused: boolean;
  readonly pending: number;

  /** What the user has arranged; `arrange` changes some of it. */
  readonly layout: ILayout;
  arrange(changes: Partial<ILayout>): void;

  /** The terms of the filter, and what is wrong with them. */
  readonly terms: readonly ITerm[];

  /** Whether an object came or changed a moment ago. */
  isFresh(id: string): boolean;

  /** Ids of the selected objects; and keys of the selected rows. */
  readonly selection: readonly string[];
  readonly selected: ReadonlySet<string>;

  /** Key of the row that the keyboard is on, null when there is none. */
  readonly current: string | null;

  /** Select by key of a row (an id where nothing is grouped), null for nothing. */
  select(key: string | null, mode?: SelectMode): void;
  selectAll(): void;

  /** Open or close a group. */
  toggleGroup(key: string): void;

  /** The object of an id, or the one that is selected alone or last. */
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
  export const pause = 'workbench:pause';
  export const focusFilter = 'workbench:filter';
  export const selectAll = 'workbench:select-all';
  export const insertCode = 'workbench:insert-code';
  export const copyName = 'workbench:copy-name';
  export const rename = 'workbench:rename';
  export const pin = 'workbench:pin';
  export const unpin = 'workbench:unpin';
  export const spill = 'workbench:spill';
  export const restore = 'workbench:restore';
  export const save = 'workbench:save';
  export const replicate = 'workbench:replicate';
  export const move = 'workbench:move';
  export const drop = 'workbench:drop';
  export const deleteObject = 'workbench:delete';
  export const deleteUnnamed = 'workbench:delete-unnamed';
  export const free = 'workbench:free-deleted';
  export const drain = 'workbench:drain';
  export const undrain = 'workbench:undrain';
  export const cancel = 'workbench:cancel';
  export const showPartitions = 'workbench:show-partitions';
  export const openHolder = 'workbench:open-holder';
  export const preview = 'workbench:preview';
}
