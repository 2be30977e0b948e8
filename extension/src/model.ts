/**
 * What the panel shows, without any element of the page: the newest state, the filter, the order and the selection.
 *
 * Covers what is kept and when those who show it are told. When the server is asked is in `watch.ts`; what is listed is
 * worked out in `arrange.ts`, `filter.ts` and `selection.ts`. Read next: `panel.tsx`, `commands.ts`.
 */

import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { arrange, group, isListed, rearrange } from './arrange';
import { apply } from './delta';
import type { ITerm } from './filter';
import { parseFilter } from './filter';
import type { ITrans } from './format';
import type { ISelection } from './selection';
import { NOTHING, choose, prune } from './selection';
import type {
  IAnswer,
  IApi,
  ILayout,
  INode,
  IObject,
  IOperation,
  IPermissions,
  IProblem,
  IState,
  IWorkbenchModel,
  Listing,
  Row,
  SelectMode
} from './tokens';
import { DEFAULT_COLUMNS } from './tokens';
import type { IEvent } from './watch';
import { Watch } from './watch';

const EVERYTHING: IPermissions = { read: true, write: true, execute: true };

const DEFAULT_LAYOUT: ILayout = {
  filter: '',
  sort: { key: 'name', ascending: true },
  group: 'none',
  columns: DEFAULT_COLUMNS,
  listing: 'objects',
  closed: []
};

/** Changes of so many objects at once are not pointed out one by one. */
const MANY = 50;
/** More than a screen has room for. */
const FIRST = 100;
/** For so many milliseconds a change is new. */
const FRESH = 1500;

interface IFollowed {
  readonly progress?: (operation: IOperation) => void;
  readonly resolve: (operation: IOperation) => void;
  readonly started: IOperation;
}

export class WorkbenchModel implements IWorkbenchModel {
  constructor(options: WorkbenchModel.IOptions) {
    this.api = options.api;
    this._trans = options.trans ?? UNTRANSLATED;
    this._watch = new Watch({
      ...options,
      ask: told => this._ask(told),
      version: () => this._state?.version,
      running: () =>
        this._followed.size > 0 || (this._state?.operations.some(({ state }) => state === 'running') ?? false),
      followed: () => this._followed.size > 0
    });
  }

  readonly api: IApi;

  get changed(): ISignal<IWorkbenchModel, void> {
    return this._changed;
  }

  get arranged(): ISignal<IWorkbenchModel, void> {
    return this._arranged;
  }

  get state(): IState | null {
    return this._state;
  }

  get problem(): IProblem | null {
    return this._problem;
  }

  get permissions(): IPermissions {
    return this._state?.permissions ?? EVERYTHING;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  // -- what is listed --------------------------------------------------------------------------------------------------

  get objects(): readonly IObject[] {
    if (this._frozen !== null) {
      return this._frozen;
    }
    if (this._listed === null) {
      const { listing, sort } = this._layout;
      const candidates = (this._state?.objects ?? []).filter(object => isListed(object, listing));
      this._listed = listing === 'deleted' ? [] : arrange(candidates, this.terms, sort);
    }
    return this._listed;
  }

  get rows(): readonly Row[] {
    if (this._rows === null) {
      this._rows = group(this.objects, this._layout.group, new Set(this._layout.closed));
    }
    return this._rows;
  }

  get counts(): Readonly<Record<Listing, number>> {
    if (this._counts === null) {
      const objects = this._state?.objects ?? [];
      this._counts = {
        objects: objects.length + (this._state?.truncated ?? 0),
        unnamed: objects.filter(object => object.name === null).length,
        deleted: this._state?.deleted?.length ?? 0
      };
    }
    return this._counts;
  }

  get terms(): readonly ITerm[] {
    if (this._terms === null) {
      const nodes = (this._state?.nodes ?? []).map(node => node.name);
      this._terms = parseFilter(this._layout.filter, { now: Date.now() / 1000, nodes, trans: this._trans });
    }
    return this._terms;
  }

  get layout(): ILayout {
    return this._layout;
  }

  arrange(changes: Partial<ILayout>): void {
    this._layout = { ...this._layout, ...changes };
    if (this._frozen !== null) {
      this._frozen = null;
      this._forget();
      this._frozen = this.objects;
    }
    this._forget();
    this._arranged.emit();
    this._changed.emit();
  }

  get paused(): boolean {
    return this._frozen !== null;
  }

  set paused(paused: boolean) {
    if (paused !== this.paused) {
      this._frozen = paused ? this.objects : null;
      this._pending.clear();
      this._forget();
      this._changed.emit();
    }
  }

  get pending(): number {
    return this._pending.size;
  }

  isFresh(id: string): boolean {
    return (this._fresh.get(id) ?? 0) > Date.now() - FRESH;
  }

  toggleGroup(key: string): void {
    const closed = new Set(this._layout.closed);
    if (!closed.delete(key)) {
      closed.add(key);
    }
    this.arrange({ closed: [...closed] });
  }

  // -- what is selected ------------------------------------------------------------------------------------------------

  get selected(): ReadonlySet<string> {
    return this._selection.keys;
  }

  get selection(): readonly string[] {
    return [...new Set([...this._selection.keys].map(idOf))].filter(id => this.find(id) !== undefined);
  }

  get current(): string | null {
    return this._selection.current;
  }

  select(key: string | null, mode: SelectMode = 'only'): void {
    const before = this._selection;
    this._selection =
      key === null ? NOTHING : choose(before, key, mode, mode === 'range' ? this.rows.map(row => row.key) : []);
    const same = before.current === this._selection.current && before.keys.size === this._selection.keys.size;
    if (!same || [...before.keys].some(each => !this._selection.keys.has(each))) {
      this._changed.emit();
    }
  }

  selectAll(): void {
    const keys = this.rows.flatMap(row => (row.type === 'object' ? [row.key] : []));
    this._selection = { keys: new Set(keys), anchor: keys[0] ?? null, current: this.current ?? keys[0] ?? null };
    this._changed.emit();
  }

  find(id?: string | null): IObject | undefined {
    const current = this._selection.current;
    const key =
      id ?? (current !== null && this._selection.keys.has(current) ? current : [...this._selection.keys].pop());
    return key === undefined ? undefined : this._byId().get(idOf(key));
  }

  // -- nodes -----------------------------------------------------------------------------------------------------------

  targets(object: IObject): INode[] {
    const holding = new Set(object.replicas.map(replica => replica.node));
    if (object.kind === 'dataset' && holding.size > 1) {
      // Each of them may have some of the partitions only.
      holding.clear();
    }
    return (this._state?.nodes ?? []).filter(node => node.state === 'running' && !holding.has(node.id));
  }

  holding(object: IObject): INode[] {
    const nodes = new Map((this._state?.nodes ?? []).map(node => [node.id, node]));
    return object.replicas.map(
      ({ node, node_name }) =>
        nodes.get(node) ?? { id: node, name: node_name, address: '', workers: [], capacity: 0, used: 0, state: 'lost' }
    );
  }

  // -- asking ----------------------------------------------------------------------------------------------------------

  get active(): boolean {
    return this._watch.active;
  }

  set active(active: boolean) {
    this._watch.active = active;
  }

  look(): IDisposable {
    return this._watch.look();
  }

  get glancing(): boolean {
    return this._watch.glancing;
  }

  set glancing(glancing: boolean) {
    this._watch.glancing = glancing;
  }

  refresh(): Promise<void> {
    return this._watch.refresh();
  }

  follow(operation: IOperation, progress?: (operation: IOperation) => void): Promise<IOperation> {
    return new Promise(resolve => {
      this._followed.set(operation.id, { progress, resolve, started: operation });
      void this.refresh();
      this._watch.pace();
    });
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._watch.dispose();
      Signal.clearData(this);
    }
  }

  private async _ask(told?: string): Promise<void> {
    try {
      const known = this._isPartial ? undefined : this._state?.version;
      this._accept(await this.api.state(known, this._state === null ? { first: FIRST } : { told }));
      if (this._isPartial) {
        this._accept(await this.api.state());
      }
    } catch (error) {
      if (!this._isDisposed) {
        this._problem = asProblem(error);
        this._changed.emit();
      }
      throw error;
    }
  }

  private get _isPartial(): boolean {
    return this._state?.partial === true;
  }

  private _accept(answer: IAnswer): void {
    if (this._isDisposed) {
      return;
    }
    const told = this._told;
    this._told = aside(answer);
    const news = this._problem !== null || this._told !== told || this._followed.size > 0;
    const timed = this._terms?.some(({ key }) => key === 'idle' || key === 'age') ?? false;
    const nodes = this._state?.nodes;
    const { state, changed } = apply(this._state, answer);
    const renamed = nodes?.map(node => node.name).join('\n') !== state.nodes.map(node => node.name).join('\n');
    this._state = state;
    this._problem = null;
    this._index = changed !== null && changed.size === 0 ? this._index : null;
    this._point(changed);
    this._relist(changed, timed || renamed);
    this._selection = prune(this._selection, key => this._exists(key));
    this._report(state);
    this._watch.pace();
    if (news || timed) {
      this._changed.emit();
    }
  }

  /** Remember what is new, to point it out, and to count what a paused list does not show. */
  private _point(changed: ReadonlySet<string> | null): void {
    if (changed !== null) {
      if (changed.size <= MANY) {
        const now = Date.now();
        this._fresh = new Map([...this._fresh].filter(([, at]) => at > now - FRESH));
        changed.forEach(id => this._fresh.set(id, now));
      }
      if (this.paused) {
        changed.forEach(id => this._pending.add(id));
      }
    }
  }

  private _relist(changed: ReadonlySet<string> | null, anew: boolean): void {
    if (changed !== null && changed.size === 0 && !anew) {
      this._counts = null;
      return;
    }
    const { listing, sort } = this._layout;
    const before = this._listed;
    const merge =
      before !== null && changed !== null && !anew && listing !== 'deleted' && changed.size < before.length / 4;
    this._forget();
    if (merge) {
      const candidates = this._state!.objects.filter(object => changed.has(object.id) && isListed(object, listing));
      this._listed = rearrange(before, candidates, changed, this.terms, sort);
    }
  }

  private _forget(): void {
    this._listed = null;
    this._rows = null;
    this._counts = null;
    this._terms = null;
  }

  private _byId(): Map<string, IObject> {
    this._index ??= new Map((this._state?.objects ?? []).map(object => [object.id, object]));
    return this._index;
  }

  private _exists(key: string): boolean {
    return key.length < ID_LENGTH || !/^[0-9a-f]{32}/.test(key) || this._byId().has(idOf(key));
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

  private readonly _arranged = new Signal<IWorkbenchModel, void>(this);
  private readonly _changed = new Signal<IWorkbenchModel, void>(this);
  private _counts: Readonly<Record<Listing, number>> | null = null;
  private readonly _followed = new Map<string, IFollowed>();
  private _fresh = new Map<string, number>();
  private _frozen: readonly IObject[] | null = null;
  private _index: Map<string, IObject> | null = null;
  private _isDisposed = false;
  private _layout: ILayout = DEFAULT_LAYOUT;
  private _listed: readonly IObject[] | null = null;
  private readonly _pending = new Set<string>();
  private _problem: IProblem | null = null;
  private _rows: readonly Row[] | null = null;
  private _selection: ISelection = NOTHING;
  private _state: IState | null = null;
  private _terms: readonly ITerm[] | null = null;
  private _told = '';
  private readonly _trans: ITrans;
  private readonly _watch: Watch;
}

export namespace WorkbenchModel {
  /** Times are in milliseconds. */
  export interface IOptions {
    readonly api: IApi;

    /** For what is wrong with a filter. */
    readonly trans?: ITrans;

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

const ID_LENGTH = 32;

/** The id in the key of a row, which is the id, or the id and a group. */
function idOf(key: string): string {
  return key.slice(0, ID_LENGTH);
}

/** Puts values into English texts: for tests, and where nothing translates. */
export const UNTRANSLATED: ITrans = {
  __: (text, ...values) => text.replace(/%(\d+)/g, (_, at: string) => String(values[Number(at) - 1])),
  _n: (text, plural, count, ...values) => UNTRANSLATED.__(count === 1 ? text : plural, count, ...values)
};

/** All that is told beside the objects, the version included: permissions and the like may change without a new one. */
function aside(answer: IAnswer): string {
  return JSON.stringify({ ...answer, objects: 0, removed: 0, full: 0 });
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
