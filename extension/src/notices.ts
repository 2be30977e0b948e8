/**
 * One notification for each action: it says what goes on, how far it is and how it ended, and can cancel or undo.
 *
 * Covers notifications only; what is done is in `actions.ts`.
 */

import { Notification } from '@jupyterlab/apputils';

import type { ITrans } from './format';
import { fraction } from './format';
import type { IOperation, IWorkbenchModel } from './tokens';

const SHORT = 5000;
/** A chance to undo stays a while. */
const UNDO = 15_000;

/** What an action is called while it runs and when it is done, and how it is taken back. */
export interface INotice {
  readonly message: string;
  readonly done: string;
  readonly undo?: () => Promise<void>;
}

export class Notices {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _trans: ITrans
  ) {}

  /**
   * Start operations, follow them to their end, and keep one notification up to date.
   *
   * @param starts - Each starts one; undefined is something that is done already.
   */
  async follow(notice: INotice, starts: readonly (() => Promise<IOperation | undefined>)[]): Promise<void> {
    const trans = this._trans;
    const progress: { done: number; total: number }[] = starts.map(() => ({ done: 0, total: 0 }));
    const running = new Set<string>();
    let cancelled = false;
    const cancel = (event: MouseEvent): void => {
      // The notification stays, and tells how it ends.
      event.preventDefault();
      cancelled = true;
      running.forEach(id => void this._model.api.cancel(id).catch(() => undefined));
    };
    const actions = [{ label: trans.__('Cancel'), callback: cancel }];
    const id = Notification.emit(notice.message, 'in-progress', { autoClose: false, progress: 0, actions });
    const follow = async (start: () => Promise<IOperation | undefined>, at: number): Promise<string | null> => {
      if (cancelled) {
        return trans.__('cancelled');
      }
      try {
        const begun = await start();
        if (begun === undefined) {
          return null;
        }
        running.add(begun.id);
        if (cancelled) {
          await this._model.api.cancel(begun.id).catch(() => undefined);
        }
        const ended = await this._model.follow(begun, ({ done_nbytes: done, total_nbytes: total }) => {
          progress[at] = { done, total };
          const [sum, all] = progress.reduce(([d, t], each) => [d + each.done, t + each.total], [0, 0]);
          Notification.update({ id, message: notice.message, progress: fraction(sum, all), actions });
        });
        running.delete(begun.id);
        return this._why(ended);
      } catch (error) {
        return messageOf(error);
      }
    };
    const reasons = await inTurn(starts, 4, follow);
    this._conclude(id, notice, reasons);
    await this._model.refresh();
  }

  /** Do something short, and say so when it is done or failed; `action` returns false when it was called off. */
  async report(notice: Omit<INotice, 'message'>, action: () => Promise<boolean>): Promise<void> {
    try {
      if (await action()) {
        this.say(notice.done, notice.undo);
      }
    } catch (error) {
      this.complain(messageOf(error));
    }
    await this._model.refresh();
  }

  say(message: string, undo?: () => Promise<void>): void {
    const actions = undo === undefined ? [] : [this._undo(undo)];
    Notification.emit(message, 'success', { autoClose: undo === undefined ? SHORT : UNDO, actions });
  }

  complain(message: string): void {
    Notification.emit(message, 'error', { autoClose: false });
  }

  private _conclude(id: string, notice: INotice, reasons: readonly (string | null)[]): void {
    const trans = this._trans;
    const failures = reasons.filter(reason => reason !== null);
    const undo = notice.undo;
    if (failures.length === 0) {
      Notification.update({
        id,
        message: notice.done,
        type: 'success',
        autoClose: undo === undefined ? SHORT : UNDO,
        progress: undefined,
        actions: undo === undefined ? [] : [this._undo(undo)]
      });
      return;
    }
    const cancelled = failures.every(reason => reason === trans.__('cancelled'));
    const why = [...new Set(failures)].slice(0, 3).join('; ');
    const message = cancelled
      ? trans.__('%1: cancelled', notice.message)
      : reasons.length === 1
        ? trans.__('%1 failed: %2', notice.message, why)
        : trans.__('%1: %2 of %3 failed: %4', notice.message, failures.length, reasons.length, why);
    Notification.update({
      id,
      message,
      type: cancelled ? 'warning' : 'error',
      autoClose: cancelled ? SHORT : false,
      progress: undefined,
      actions: []
    });
  }

  private _undo(undo: () => Promise<void>): Notification.IAction {
    return { label: this._trans.__('Undo'), callback: () => void undo() };
  }

  /** Why an operation did not do what it should; null when it did. */
  private _why(operation: IOperation): string | null {
    switch (operation.state) {
      case 'done':
        return null;
      case 'cancelled':
        return this._trans.__('cancelled');
      default:
        return operation.error?.message || this._trans.__('the server does not know why');
    }
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Do something for each value, so many at a time; the results are in the order of the values. */
export async function inTurn<T, R>(
  values: readonly T[],
  atOnce: number,
  act: (value: T, index: number) => Promise<R>
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < values.length) {
      const index = next++;
      results[index] = await act(values[index], index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, values.length) }, work));
  return results;
}
