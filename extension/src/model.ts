/**
 * What the panel shows, without any element of the page: the newest state, the filter, the order and the selection.
 *
 * Covers when the server is asked: at once when an event says that something changed, now and then in case an event was
 * lost, often while an operation runs, and never while nobody looks. Read next: `panel.tsx`, `commands.ts`.
 */

import { DisposableDelegate } from '@lumino/disposable';
import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { arrange } from './arrange';
import type { IApi, INode, IObject, IOperation, IProblem, ISort, IState, IWorkbenchModel } from './tokens';
import { EVENT_SCHEMA } from './tokens';

/** The part of Jupyter's event that is looked at. */
interface IEvent {
  readonly schema_id: string;
  readonly version?: unknown;
}

interface IFollowed {
  readonly progress?: (operation: IOperation) => void;
  readonly resolve: (operation: IOperation) => void;
  readonly started: IOperation;
}

export class WorkbenchModel implements IWorkbenchModel {
  constructor(options: WorkbenchModel.IOptions) {
    this.api = options.api;
    this._interval = options.interval ?? 10_000;
    this._fastInterval = options.fastInterval ?? 500;
    this._settle = options.settle ?? 50;
    this._poll = new Poll({
      auto: false,
      factory: () => this._ask(),
      frequency: { interval: this._interval, backoff: true, max: 60_000 },
      name: 'shm-workbench:state',
      standby: () => (this._followed.size > 0 ? 'never' : 'when-hidden')
    });
    options.events?.connect(this._onEvent, this);
  }

  readonly api: IApi;

  get changed(): ISignal<IWorkbenchModel, void> {
    return this._changed;
  }

  get state(): IState | null {
    return this._state;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  get objects(): readonly IObject[] {
    return arrange(this._state?.objects ?? [], this._filter, this._sort);
  }

  get active(): boolean {
    return this._active;
  }

  set active(active: boolean) {
    if (active === this._active) {
      return;
    }
    this._active = active;
    if (active) {
      void this.refresh();
    }
    this._pace();
  }

  look(): IDisposable {
    this._viewers += 1;
    if (!this._active && this._viewers === 1) {
      void this.refresh();
    }
    this._pace();
    return new DisposableDelegate(() => {
      this._viewers -= 1;
      this._pace();
    });
  }

  get filter(): string {
    return this._filter;
  }

  set filter(filter: string) {
    this._filter = filter;
    this._changed.emit();
  }

  get sort(): ISort {
    return this._sort;
  }

  set sort(sort: ISort) {
    this._sort = sort;
    this._changed.emit();
  }

  get selection(): string | null {
    return this._selection;
  }

  set selection(id: string | null) {
    if (id !== this._selection) {
      this._selection = id;
      this._changed.emit();
    }
  }

  find(id: string | null = this._selection): IObject | undefined {
    return this._state?.objects.find(object => object.id === id);
  }

  targets(object: IObject): INode[] {
    const holding = new Set(object.replicas.map(replica => replica.node));
    return (this._state?.nodes ?? []).filter(node => node.state === 'running' && !holding.has(node.id));
  }

  holding(object: IObject): INode[] {
    const nodes = new Map((this._state?.nodes ?? []).map(node => [node.id, node]));
    return object.replicas.map(
      ({ node, node_name }) =>
        nodes.get(node) ?? { id: node, name: node_name, address: '', workers: [], capacity: 0, used: 0, state: 'lost' }
    );
  }

  refresh(): Promise<void> {
    if (this._asking !== null) {
      // The answer on its way may be older than what the caller wants to see.
      this._again = true;
      return this._asking;
    }
    this._asking = this._askUntilQuiet().finally(() => {
      this._asking = null;
    });
    return this._asking;
  }

  follow(operation: IOperation, progress?: (operation: IOperation) => void): Promise<IOperation> {
    return new Promise(resolve => {
      this._followed.set(operation.id, { progress, resolve, started: operation });
      void this.refresh();
      this._pace();
    });
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._poll.dispose();
    Signal.clearData(this);
  }

  private _onEvent(_: unknown, event: IEvent): void {
    const news = event.schema_id === EVENT_SCHEMA && event.version !== this._state?.version;
    if (!news || !this._watched || this._timer !== undefined) {
      return;
    }
    // Changes come in bursts: wait a moment, and count from the first so that a stream of them cannot starve us.
    this._timer = setTimeout(() => {
      this._timer = undefined;
      void this.refresh();
    }, this._settle);
  }

  private async _askUntilQuiet(): Promise<void> {
    do {
      this._again = false;
      // A failure is shown through `problem`; the poll alone needs to know of it, to slow down.
      await this._ask().catch(() => undefined);
    } while (this._again && !this._isDisposed);
  }

  private async _ask(): Promise<void> {
    try {
      const state = await this.api.state();
      if (!this._isDisposed) {
        this._accept(state);
      }
    } catch (error) {
      if (!this._isDisposed) {
        this._problem = asProblem(error);
        this._changed.emit();
      }
      throw error;
    }
  }

  private _accept(state: IState): void {
    const news = this._problem !== null || state.version !== this._state?.version || this._followed.size > 0;
    this._state = state;
    this._problem = null;
    if (this._selection !== null && this.find() === undefined) {
      this._selection = null;
    }
    this._report(state);
    this._pace();
    if (news) {
      this._changed.emit();
    }
  }

  /** Tell those who follow an operation how it goes. */
  private _report(state: IState): void {
    for (const [id, followed] of [...this._followed]) {
      const operation = state.operations.find(candidate => candidate.id === id) ?? outcome(followed.started, state);
      followed.progress?.(operation);
      if (operation.state !== 'running') {
        this._followed.delete(id);
        followed.resolve(operation);
      }
    }
  }

  /** Poll when somebody looks or an operation is followed; fast while one runs; else not at all. */
  private _pace(): void {
    if (this._isDisposed) {
      return;
    }
    if (!this._watched && this._followed.size === 0) {
      void this._poll.stop();
      return;
    }
    const running = this._followed.size > 0 || this._state?.operations.some(({ state }) => state === 'running');
    const interval = running ? this._fastInterval : this._interval;
    if (interval !== this._poll.frequency.interval) {
      this._poll.frequency = { ...this._poll.frequency, interval };
    }
    if (this._poll.state.phase === 'stopped' || this._poll.state.phase === 'constructed') {
      void this._poll.start();
    }
  }

  private get _watched(): boolean {
    return this._active || this._viewers > 0;
  }

  private _active = false;
  private _again = false;
  private _asking: Promise<void> | null = null;
  private readonly _changed = new Signal<IWorkbenchModel, void>(this);
  private readonly _fastInterval: number;
  private _filter = '';
  private readonly _followed = new Map<string, IFollowed>();
  private readonly _interval: number;
  private _isDisposed = false;
  private readonly _poll: Poll;
  private _problem: IProblem | null = null;
  private _selection: string | null = null;
  private readonly _settle: number;
  private _sort: ISort = { key: 'name', ascending: true };
  private _state: IState | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _viewers = 0;
}

export namespace WorkbenchModel {
  /** Times are in milliseconds. */
  export interface IOptions {
    readonly api: IApi;

    /** Jupyter's event bus; without it the model polls only. */
    readonly events?: ISignal<unknown, IEvent>;

    /** Between two looks when no event comes. */
    readonly interval?: number;

    /** The same while an operation runs. */
    readonly fastInterval?: number;

    /** Between the first event of a burst and the question. */
    readonly settle?: number;
  }
}

function asProblem(error: unknown): IProblem {
  const kind = (error as Partial<IProblem>).kind;
  return {
    kind: typeof kind === 'string' ? kind : 'http',
    message: error instanceof Error ? error.message : String(error)
  };
}

/** What became of an operation that the server no longer lists: the replicas tell. */
function outcome(operation: IOperation, state: IState): IOperation {
  const object = state.objects.find(candidate => candidate.id === operation.object);
  const there = new Set(object?.replicas.map(replica => replica.node));
  if (operation.to.every(node => there.has(node))) {
    return { ...operation, state: 'done', done_nbytes: operation.total_nbytes };
  }
  return { ...operation, state: 'failed', error: { kind: 'unknown', message: '' } };
}
