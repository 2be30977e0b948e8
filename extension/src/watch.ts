/**
 * When the server is asked: at once when an event says that something changed, now and then in case an event was lost,
 * often while an operation runs, seldom while only the status bar shows something, and never while nobody looks.
 *
 * Covers times only; what an answer means is the model's. Read next: `model.ts`.
 */

import { DisposableDelegate } from '@lumino/disposable';
import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { EVENT_SCHEMA } from './tokens';

/** The part of Jupyter's event that is looked at. */
export interface IEvent {
  readonly schema_id: string;
  readonly version?: unknown;
}

interface IWish {
  readonly told?: string;
}

/** Who only glances need not know at once. */
const GLANCE = 30_000;
const GLANCE_SETTLE = 2000;

export class Watch {
  constructor(private readonly _options: Watch.IOptions) {
    this._interval = _options.interval ?? 10_000;
    this._fastInterval = _options.fastInterval ?? 500;
    this._settle = _options.settle ?? 30;
    this._poll = new Poll({
      auto: false,
      // Somebody has asked just now: the answer is for all.
      factory: () => this._asking ?? _options.ask(),
      frequency: { interval: this._interval, backoff: true, max: 60_000 },
      name: 'shm-workbench:state',
      standby: () => (_options.followed() ? 'never' : 'when-hidden')
    });
    _options.events?.connect(this._onEvent, this);
  }

  get active(): boolean {
    return this._active;
  }

  set active(active: boolean) {
    if (active !== this._active) {
      this._active = active;
      if (active) {
        void this.refresh();
      }
      this.pace();
    }
  }

  /** Whether anybody looks, at the panel or elsewhere. */
  private get _watched(): boolean {
    return this._active || this._viewers > 0;
  }

  look(): IDisposable {
    this._viewers += 1;
    if (!this._active && this._viewers === 1) {
      void this.refresh();
    }
    this.pace();
    return new DisposableDelegate(() => {
      this._viewers -= 1;
      this.pace();
    });
  }

  /** A glance begins once somebody has looked: a server that nobody asked stays at rest. */
  get glancing(): boolean {
    return this._glancing && this._options.version() !== undefined;
  }

  set glancing(glancing: boolean) {
    this._glancing = glancing;
    this.pace();
  }

  /** Ask for what is; or, where an event told of a version, for what is known from then on. */
  refresh(told?: string): Promise<void> {
    if (this._asking !== null) {
      // The answer on its way may be older than what the caller wants to see.
      this._again = { told: this._again === null || this._again.told !== undefined ? told : undefined };
      return this._asking;
    }
    this._asking = this._askUntilQuiet(told).finally(() => {
      this._asking = null;
    });
    return this._asking;
  }

  /** Poll when somebody looks or an operation is followed; fast while one runs; else not at all. */
  pace(): void {
    if (this._poll.isDisposed) {
      return;
    }
    if (!this._watched && !this.glancing && !this._options.followed()) {
      void this._poll.stop();
      return;
    }
    const slow = this._watched ? this._interval : Math.max(this._interval, GLANCE);
    const interval = this._options.running() && (this._watched || this._options.followed()) ? this._fastInterval : slow;
    if (interval !== this._poll.frequency.interval) {
      this._poll.frequency = { ...this._poll.frequency, interval };
    }
    if (this._poll.state.phase === 'stopped' || this._poll.state.phase === 'constructed') {
      void this._poll.start();
    }
  }

  dispose(): void {
    clearTimeout(this._timer);
    this._poll.dispose();
    Signal.clearData(this);
  }

  private _onEvent(_: unknown, event: IEvent): void {
    const news = event.schema_id === EVENT_SCHEMA && event.version !== this._options.version();
    if (!news || !(this._watched || this.glancing)) {
      return;
    }
    this._told = typeof event.version === 'string' ? event.version : undefined;
    if (this._timer !== undefined) {
      return;
    }
    // Changes come in bursts: wait a moment, and count from the first so that a stream of them cannot starve us.
    this._timer = setTimeout(
      () => {
        this._timer = undefined;
        if (this._watched || !document.hidden) {
          void this.refresh(this._told);
        }
      },
      this._watched ? this._settle : GLANCE_SETTLE
    );
  }

  private async _askUntilQuiet(told?: string): Promise<void> {
    for (let next: IWish | null = { told }; next !== null && !this._poll.isDisposed; next = this._again) {
      this._again = null;
      // A failure is shown by the model; the poll alone needs to know of it, to slow down.
      await this._options.ask(next.told).catch(() => undefined);
    }
  }

  private _active = false;
  private _again: IWish | null = null;
  private _asking: Promise<void> | null = null;
  private readonly _fastInterval: number;
  private _glancing = false;
  private readonly _interval: number;
  private readonly _poll: Poll;
  private readonly _settle: number;
  private _told: string | undefined;
  private _viewers = 0;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

export namespace Watch {
  /** Times are in milliseconds. */
  export interface IOptions {
    readonly ask: (told?: string) => Promise<void>;
    readonly version: () => string | undefined;
    /** Whether an operation runs, and whether anybody waits for one. */
    readonly running: () => boolean;
    readonly followed: () => boolean;
    readonly events?: ISignal<unknown, IEvent>;
    readonly interval?: number;
    readonly fastInterval?: number;
    readonly settle?: number;
  }
}
