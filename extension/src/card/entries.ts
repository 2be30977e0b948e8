/**
 * How the values of a card are now, according to the server: there, gone, or not known.
 *
 * Covers that judgement, without any element of the page. What is in the model's state is there. What is not in it is
 * gone, unless it may be a partition or beyond the number of objects that a state holds: for a card of one object the
 * server is asked then.
 */

import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { IObject, IProblem, IWorkbenchModel } from '../tokens';
import type { Card } from './tokens';

/**
 * - `asking`: no answer yet;
 * - `live`: the server says so now;
 * - `deleted`: it was there while this card was looked at, and is gone;
 * - `unknown`: the server does not know it (any more);
 * - `offline`: what was last known, the server does not answer;
 * - `saved`: what the notebook has, because there is nobody to ask.
 */
export type Status = 'asking' | 'live' | 'deleted' | 'unknown' | 'offline' | 'saved';

export interface IEntry<T> {
  readonly value: T;
  readonly status: Status;
}

/** Asks for one object; rejects with an error whose `status` is that of HTTP. */
export type Lookup = (id: string) => Promise<IObject>;

/** Milliseconds until an object that the state does not hold is asked for again. */
const AGAIN = 5000;

export class CardEntries<T extends Card['values'][number]> {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _values: readonly T[],
    private readonly _find: (model: IWorkbenchModel) => readonly T[],
    /** Only for a card of one object. */
    private readonly _lookup?: (id: string) => Promise<T>
  ) {
    this._ids = new Set(_values.map(({ id }) => id));
    _model.changed.connect(this._update, this);
    this._update();
  }

  /** Emitted when an entry changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get entries(): readonly IEntry<T>[] {
    return this._entries;
  }

  dispose(): void {
    this._isDisposed = true;
    this._model.changed.disconnect(this._update, this);
    Signal.clearData(this);
  }

  private _update(): void {
    if (this._model.state !== null) {
      for (const value of this._find(this._model)) {
        if (this._ids.has(value.id)) {
          this._found.set(value.id, value);
        }
      }
    }
    this._judge();
  }

  private _judge(): void {
    const { problem, state } = this._model;
    const there = state === null ? [] : this._find(this._model).filter(({ id }) => this._ids.has(id));
    const now = new Set(there.map(({ id }) => id));
    this._entries = this._values.map(saved => {
      const value = this._found.get(saved.id) ?? saved;
      return { value, status: this._status(saved.id, state !== null, now.has(saved.id), problem) };
    });
    this._changed.emit();
  }

  private _status(id: string, known: boolean, there: boolean, problem: IProblem | null): Status {
    if (problem !== null) {
      return problem.kind === 'missing' || problem.kind === 'forbidden' ? 'saved' : 'offline';
    }
    if (!known) {
      return 'asking';
    }
    if (there) {
      return 'live';
    }
    const truncated = (this._model.state?.truncated ?? 0) > 0;
    const gone = this._found.has(id) ? 'deleted' : 'unknown';
    if (this._lookup === undefined || !(truncated || this._mayBePartition(id))) {
      return truncated ? 'saved' : gone;
    }
    this._ask(id, this._lookup);
    const answer = this._answers.get(id);
    if (answer === 'gone') {
      return gone;
    }
    if (answer === 'saved') {
      return truncated ? 'saved' : gone;
    }
    return answer ?? (gone === 'deleted' ? gone : 'asking');
  }

  /** The id of a partition begins as that of its dataset (`partition_id` in `workbench/objects.py`). */
  private _mayBePartition(id: string): boolean {
    const objects = this._model.state?.objects ?? [];
    return objects.some(object => object.kind === 'dataset' && object.id.slice(0, 12) === id.slice(0, 12));
  }

  private _ask(id: string, lookup: (id: string) => Promise<T>): void {
    const answer = this._answers.get(id);
    const asked = this._asked.get(id);
    // What is gone stays gone: an id is never given again.
    if (answer === 'gone' || (asked !== undefined && Date.now() - asked < AGAIN)) {
      return;
    }
    this._asked.set(id, Date.now());
    lookup(id).then(
      value => {
        this._found.set(id, value);
        this._settle(id, 'live');
      },
      (error: { readonly kind?: string; readonly status?: number }) =>
        this._settle(id, error.status === 404 ? 'gone' : 'saved')
    );
  }

  private _settle(id: string, answer: 'gone' | 'live' | 'saved'): void {
    if (!this._isDisposed) {
      this._answers.set(id, answer);
      this._judge();
    }
  }

  private readonly _answers = new Map<string, 'gone' | 'live' | 'saved'>();
  private readonly _asked = new Map<string, number>();
  private readonly _changed = new Signal<this, void>(this);
  private _entries: readonly IEntry<T>[] = [];
  private readonly _found = new Map<string, T>();
  private readonly _ids: ReadonlySet<string>;
  private _isDisposed = false;
}
