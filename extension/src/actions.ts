/**
 * What the commands do: ask, request, follow, and say how it went. One notification for each action.
 *
 * Covers the actions on objects; how they are called is in `commands.ts`, the questions are in `dialogs.ts`.
 */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { askNode, confirmDelete, confirmLastReplica } from './dialogs';
import { formatBytes, fraction, objectLabel } from './format';
import type { INode, IObject, IOperation, IProblem, IWorkbenchModel } from './tokens';

const SHORT = 4000;

export class Actions {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _trans: TranslationBundle
  ) {}

  /** Make one more replica, on the node given or asked for. */
  async replicate(object: IObject, node?: string): Promise<void> {
    const trans = this._trans;
    const name = objectLabel(object);
    const to =
      node ??
      (await askNode(
        {
          title: trans.__('Replicate Object'),
          text: trans.__('“%1” (%2) gets one more replica.', name, formatBytes(object.nbytes)),
          label: trans.__('On node'),
          accept: trans.__('Replicate'),
          nodes: this._roomiestFirst(object)
        },
        trans
      ));
    if (to) {
      const message = trans.__('Replicating “%1” to %2', name, this._nodeName(to));
      const done = trans.__('“%1” has a replica on %2', name, this._nodeName(to));
      await this._transfer(message, done, () => this._model.api.replicate(object.id, [to]));
    }
  }

  /** Move the object to the node given or asked for. */
  async move(object: IObject, node?: string): Promise<void> {
    const trans = this._trans;
    const name = objectLabel(object);
    const to =
      node ??
      (await askNode(
        {
          title: trans.__('Move Object'),
          text: trans.__(
            '“%1” (%2) moves to another node: its other replicas are dropped when it is there.',
            name,
            formatBytes(object.nbytes)
          ),
          label: trans.__('To node'),
          accept: trans.__('Move'),
          nodes: this._roomiestFirst(object)
        },
        trans
      ));
    if (to) {
      const message = trans.__('Moving “%1” to %2', name, this._nodeName(to));
      const done = trans.__('“%1” is on %2', name, this._nodeName(to));
      await this._transfer(message, done, () => this._model.api.move(object.id, to));
    }
  }

  /** Drop a replica; the last one only after a second question. */
  async drop(object: IObject, node?: string): Promise<void> {
    const trans = this._trans;
    const name = objectLabel(object);
    const holding = this._model.holding(object);
    const from =
      node ??
      (await askNode(
        {
          title: trans.__('Drop Replica'),
          text: trans.__('The replica of “%1” on this node is removed; the others stay.', name),
          label: trans.__('From node'),
          accept: trans.__('Drop'),
          nodes: holding,
          preselected: holding[holding.length - 1]?.id
        },
        trans
      ));
    if (!from) {
      return;
    }
    const where = this._nodeName(from);
    await this._report(trans.__('“%1” was dropped from %2', name, where), async () => {
      try {
        await this._model.api.drop(object.id, from);
      } catch (error) {
        if ((error as Partial<IProblem>).kind !== 'last-replica') {
          throw error;
        }
        if (!(await confirmLastReplica(object, where, trans))) {
          return false;
        }
        await this._model.api.drop(object.id, from, true);
      }
      return true;
    });
  }

  /** Delete the object everywhere, after a question. */
  async deleteObject(object: IObject, force = false): Promise<void> {
    if (!force && !(await confirmDelete(object, this._trans))) {
      return;
    }
    await this._report(this._trans.__('“%1” was deleted', objectLabel(object)), async () => {
      await this._model.api.delete(object.id);
      return true;
    });
  }

  /** Start an operation, follow it, and keep one notification up to date. */
  private async _transfer(message: string, done: string, start: () => Promise<IOperation>): Promise<void> {
    const id = Notification.emit(message, 'in-progress', { autoClose: false, progress: 0 });
    try {
      const operation = await this._model.follow(await start(), ({ done_nbytes, total_nbytes }) => {
        Notification.update({ id, message, progress: fraction(done_nbytes, total_nbytes) });
      });
      if (operation.state === 'done') {
        Notification.update({ id, message: done, type: 'success', autoClose: SHORT, progress: undefined });
      } else {
        Notification.update({ id, message: this._why(message, operation), type: 'error', autoClose: false });
      }
    } catch (error) {
      Notification.update({ id, message: this._failed(message, error), type: 'error', autoClose: false });
    }
    await this._model.refresh();
  }

  /** Do something short, and say so when it is done or failed; `action` returns false when it was called off. */
  private async _report(done: string, action: () => Promise<boolean>): Promise<void> {
    try {
      if (await action()) {
        Notification.emit(done, 'success', { autoClose: SHORT });
      }
    } catch (error) {
      Notification.emit(error instanceof Error ? error.message : String(error), 'error', { autoClose: false });
    }
    await this._model.refresh();
  }

  private _why(message: string, operation: IOperation): string {
    if (operation.state === 'cancelled') {
      return this._trans.__('%1: cancelled', message);
    }
    const reason = operation.error?.message || this._trans.__('the server does not know why');
    return this._trans.__('%1 failed: %2', message, reason);
  }

  private _failed(message: string, error: unknown): string {
    return this._trans.__('%1 failed: %2', message, error instanceof Error ? error.message : String(error));
  }

  private _nodeName(id: string): string {
    return this._model.state?.nodes.find(node => node.id === id)?.name ?? id;
  }

  private _roomiestFirst(object: IObject): INode[] {
    const free = (node: INode): number => node.capacity - node.used;
    return this._model.targets(object).sort((left, right) => free(right) - free(left));
  }
}
