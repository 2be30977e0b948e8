/**
 * What the commands do: ask, request, follow, and say how it went, for one object or many. One notification for each action.
 *
 * Covers the actions; how they are called is in `commands.ts`, questions are in `dialogs.tsx`, notifications in `notices.ts`.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import { askNode, askText, confirmDelete, confirmDeleteUnnamed, confirmDrain, confirmLastReplica } from './dialogs';
import { formatBytes, holderLabel, isolate, objectLabel } from './format';
import { Notices, inTurn, messageOf } from './notices';
import type { IPlanSum } from './plans';
import { planAll } from './plans';
import type { IApi, IHolder, INode, IObject, IOperation, IProblem, IWorkbenchModel } from './tokens';

/** The server deletes so many objects in one step. */
const CHUNK = 1000;

export class Actions {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _trans: TranslationBundle
  ) {
    this._notices = new Notices(_model, _trans);
  }

  /**
   * Move objects to a node, or make one more replica of each there.
   *
   * @param node - Asked for where it is not given. Where it is, the question is asked only if something had to make room.
   */
  async transfer(verb: 'move' | 'replicate', objects: readonly IObject[], node?: string, force = false): Promise<void> {
    const to = force && node !== undefined ? node : await this._askTarget(verb, objects, node);
    if (to === null) {
      return;
    }
    const trans = this._trans;
    const where = this._nodeName(to);
    const some = objects.filter(object => this._model.targets(object).some(node => node.id === to));
    if (some.length === 0) {
      this._notices.say(
        trans._n('%2 is on %3 already.', '%2 are on %3 already.', objects.length, this._names(objects), where)
      );
      return;
    }
    const name = this._names(some);
    const move = verb === 'move';
    const notice = {
      message: move ? trans.__('Moving %1 to %2', name, where) : trans.__('Replicating %1 to %2', name, where),
      done: move
        ? trans._n('%2 is on %3', '%2 are on %3', some.length, name, where)
        : trans._n('%2 has a replica on %3', '%2 have a replica on %3', some.length, name, where),
      undo: () => this._restoreReplicas(some)
    };
    const start = (object: IObject): Promise<IOperation> =>
      move ? this._api.move(object.id, to) : this._api.replicate(object.id, [to]);
    await this._notices.follow(
      notice,
      some.map(object => () => start(object))
    );
  }

  /** Drop the replicas on a node; last ones only after a second question. */
  async drop(objects: readonly IObject[], node?: string): Promise<void> {
    const trans = this._trans;
    const holding = unique(objects.flatMap(object => this._model.holding(object)));
    const from =
      node ??
      (await askNode(
        {
          title: trans.__('Drop Replica'),
          text: trans._n(
            'The replica of %2 on this node is removed.',
            'The replicas of %2 on this node are removed.',
            objects.length,
            this._names(objects)
          ),
          label: trans.__('From node'),
          accept: trans.__('Drop'),
          nodes: holding,
          preselected: holding[holding.length - 1]?.id,
          plan: chosen => planAll(this._api, having(objects, chosen), { verb: 'drop', node: chosen })
        },
        trans
      ));
    if (from === null) {
      return;
    }
    const where = this._nodeName(from);
    const some = having(objects, from);
    const name = this._names(some);
    const done = trans._n('%2 was dropped from %3', '%2 were dropped from %3', some.length, name, where);
    // What nobody else has cannot be brought back.
    const spare = some.filter(({ replicas }) => replicas.length > 1);
    const undo = spare.length > 0 ? (): Promise<void> => this._restoreReplicas(spare) : undefined;
    await this._notices.report({ done, undo }, async () => {
      const last: IObject[] = [];
      await inTurn(some, 4, async object => {
        try {
          await this._api.drop(object.id, from);
        } catch (error) {
          if ((error as Partial<IProblem>).kind !== 'last-replica') {
            throw error;
          }
          last.push(object);
        }
      });
      if (last.length > 0) {
        if (!(await confirmLastReplica(last, where, trans))) {
          return last.length < some.length;
        }
        await inTurn(last, 4, object => this._api.drop(object.id, from, true));
      }
      return true;
    });
  }

  /** Delete objects everywhere, after a question. */
  async deleteObjects(objects: readonly IObject[], force = false): Promise<void> {
    if (force || (await confirmDelete(objects, this._trans))) {
      await this._delete(objects);
    }
  }

  /** Delete all objects that have no name and are not pinned, after a question that says how much that is. */
  async deleteUnnamed(): Promise<void> {
    const objects = (this._model.state?.objects ?? []).filter(object => object.name === null && !object.pinned);
    const nbytes = objects.reduce((sum, object) => sum + object.nbytes, 0);
    if (objects.length > 0 && (await confirmDeleteUnnamed(objects.length, nbytes, this._trans))) {
      await this._delete(objects);
    }
  }

  /** Give back what is deleted and not mapped, and say who keeps the rest. */
  async free(): Promise<void> {
    const trans = this._trans;
    try {
      const { freed, kept } = await this._api.free();
      const who = [...new Set((kept as IHolder[]).map(holder => keeper(holder, trans)))];
      const first = trans.__('%1 were given back.', formatBytes(freed));
      this._notices.say(
        who.length === 0
          ? first
          : trans.__('%1 The rest is free when these let go: %2', first, who.slice(0, 4).join(', '))
      );
    } catch (error) {
      this._notices.complain(messageOf(error));
    }
    await this._model.refresh();
  }

  /** Keep objects in memory, or let them be spilled again. */
  async pin(objects: readonly IObject[], pinned: boolean): Promise<void> {
    const trans = this._trans;
    const some = objects.filter(object => object.pinned !== pinned);
    const name = this._names(some);
    const done = pinned
      ? trans._n('%2 is pinned', '%2 are pinned', some.length, name)
      : trans._n('%2 is no longer pinned', '%2 are no longer pinned', some.length, name);
    const undo = (): Promise<void> => this.pin(this._now(some), !pinned);
    await this._notices.report({ done, undo }, () => this._each(some, object => this._api.pin(object.id, pinned)));
  }

  /** Move objects from memory to disk, where they stay readable, or back. */
  async spill(objects: readonly IObject[]): Promise<void> {
    const done = this._trans._n('%2 is on disk', '%2 are on disk', objects.length, this._names(objects));
    const undo = (): Promise<void> => this.restore(this._now(objects));
    await this._notices.report({ done, undo }, () => this._each(objects, object => this._api.spill(object.id)));
  }

  async restore(objects: readonly IObject[]): Promise<void> {
    const done = this._trans._n('%2 is in memory', '%2 are in memory', objects.length, this._names(objects));
    await this._notices.report({ done }, () => this._each(objects, object => this._api.restore(object.id)));
  }

  async rename(object: IObject, name?: string): Promise<void> {
    const trans = this._trans;
    const before = object.name;
    const wanted =
      name ??
      (await askText(
        {
          title: trans.__('Rename Object'),
          label: trans.__('New name of %1', this._names([object])),
          text: before ?? '',
          accept: trans.__('Rename')
        },
        trans
      ));
    if (wanted === null || wanted === before) {
      return;
    }
    const done = trans.__('%1 is now called “%2”', this._names([object]), isolate(wanted));
    const undo = before === null ? undefined : (): Promise<void> => this.rename({ ...object, name: wanted }, before);
    await this._notices.report({ done, undo }, () => this._each([object], ({ id }) => this._api.rename(id, wanted)));
  }

  /** Write an object to a file or a URL. */
  async save(object: IObject, url?: string): Promise<void> {
    const trans = this._trans;
    const wanted =
      url ??
      (await askText(
        {
          title: trans.__('Save Object'),
          label: trans.__('File or URL for %1', this._names([object])),
          text: '',
          placeholder: trans.__('/data/flights.wb or s3://bucket/flights.wb'),
          accept: trans.__('Save')
        },
        trans
      ));
    if (wanted !== null) {
      const name = this._names([object]);
      await this._notices.follow(
        {
          message: trans.__('Saving %1 to %2', name, isolate(wanted)),
          done: trans.__('%1 was saved to %2', name, isolate(wanted))
        },
        [() => this._api.save(object.id, wanted)]
      );
    }
  }

  /** See to it that nothing is only on this node, so that it can go away. */
  async drain(node: INode, force = false): Promise<void> {
    const trans = this._trans;
    const plan = force ? null : await this._planDrain(node);
    if (!force && !(await confirmDrain(node, plan, trans))) {
      return;
    }
    const begin = async (): Promise<IOperation | undefined> => {
      const operations = await this._api.drain(node.id);
      return operations[0];
    };
    await this._notices.follow(
      {
        message: trans.__('Draining %1', isolate(node.name)),
        done: trans.__('Nothing is only on %1 any more', isolate(node.name)),
        undo: () => this.undrain(node)
      },
      [begin]
    );
  }

  async undrain(node: INode): Promise<void> {
    const done = this._trans.__('%1 takes replicas again', isolate(node.name));
    await this._notices.report({ done }, async () => {
      await this._api.undrain(node.id);
      return true;
    });
  }

  async cancel(operations: readonly IOperation[]): Promise<void> {
    // Who follows an operation says how it ended.
    await inTurn(operations, 4, operation => this._api.cancel(operation.id).catch(() => undefined));
    await this._model.refresh();
  }

  // -- parts of these --------------------------------------------------------------------------------------------------

  private async _askTarget(
    verb: 'move' | 'replicate',
    objects: readonly IObject[],
    node?: string
  ): Promise<string | null> {
    const trans = this._trans;
    const plan = (to: string): Promise<IPlanSum> => planAll(this._api, objects, { verb, to: [to] });
    if (node !== undefined) {
      const { evicts } = await plan(node);
      if (evicts.every(({ what }) => what === 'pool')) {
        return node;
      }
    }
    const name = this._names(objects);
    const nbytes = formatBytes(objects.reduce((sum, object) => sum + object.nbytes, 0));
    const move = verb === 'move';
    return askNode(
      {
        title: move
          ? trans._n('Move Object', 'Move %1 Objects', objects.length)
          : trans._n('Replicate Object', 'Replicate %1 Objects', objects.length),
        text: move
          ? trans._n(
              '%2 (%3): other replicas are dropped when it is there.',
              '%2 (%3): other replicas are dropped when they are there.',
              objects.length,
              name,
              nbytes
            )
          : trans._n(
              '%2 (%3): one more replica is made.',
              '%2 (%3): one more replica of each is made.',
              objects.length,
              name,
              nbytes
            ),
        label: move ? trans.__('To node') : trans.__('On node'),
        accept: move ? trans.__('Move') : trans.__('Replicate'),
        nodes: this._roomiestFirst(objects),
        preselected: node,
        plan
      },
      trans
    );
  }

  private async _planDrain(node: INode): Promise<IPlanSum | null> {
    try {
      const { evicts, nbytes, refused, seconds } = await this._api.planDrain(node.id);
      const why = refused === null ? [] : [refused.message];
      return { count: 1, nbytes, seconds, evicts, refused: why, last: 0, complete: true };
    } catch {
      return null;
    }
  }

  private async _delete(objects: readonly IObject[]): Promise<void> {
    const trans = this._trans;
    const done = trans._n('%2 was deleted', '%2 were deleted', objects.length, this._names(objects));
    await this._notices.report({ done }, async () => {
      if (objects.length === 1) {
        await this._api.delete(objects[0].id);
        return true;
      }
      const ids = objects.map(object => object.id);
      const chunks = Array.from({ length: Math.ceil(ids.length / CHUNK) }, (_, at) =>
        ids.slice(CHUNK * at, CHUNK * (at + 1))
      );
      const answers = await inTurn(chunks, 1, chunk => this._api.deleteMany(chunk));
      const failed = answers.flatMap(answer => answer.failed);
      if (failed.length > 0) {
        throw new Error(
          trans.__('%1 of %2 objects could not be deleted: %3', failed.length, ids.length, failed[0].message)
        );
      }
      return true;
    });
  }

  private async _each(objects: readonly IObject[], act: (object: IObject) => Promise<void>): Promise<boolean> {
    await inTurn(objects, 4, act);
    return objects.length > 0;
  }

  /** Put the replicas of objects back to where they were. */
  private async _restoreReplicas(before: readonly IObject[]): Promise<void> {
    const trans = this._trans;
    const name = this._names(before);
    const restore = async (old: IObject): Promise<IOperation | undefined> => {
      const now = this._model.find(old.id);
      if (now === undefined) {
        throw new Error(trans.__('“%1” is gone', isolate(objectLabel(old))));
      }
      const wanted = old.replicas.map(replica => replica.node);
      const there = now.replicas.map(replica => replica.node);
      const missing = wanted.filter(node => !there.includes(node));
      if (missing.length > 0) {
        await this._model.follow(await this._api.replicate(old.id, missing));
      }
      for (const extra of there.filter(node => !wanted.includes(node))) {
        await this._api.drop(old.id, extra);
      }
      return undefined;
    };
    await this._model.refresh();
    await this._notices.follow(
      {
        message: trans.__('Undoing: %1', name),
        done: trans._n('%2 is where it was', '%2 are where they were', before.length, name)
      },
      before.map(object => () => restore(object))
    );
  }

  /** The same objects as they are now. */
  private _now(objects: readonly IObject[]): IObject[] {
    return objects.map(object => this._model.find(object.id)).filter(object => object !== undefined);
  }

  private _names(objects: readonly IObject[]): string {
    return objects.length === 1
      ? this._trans.__('“%1”', isolate(shorten(objectLabel(objects[0]))))
      : this._trans._n('%1 object', '%1 objects', objects.length);
  }

  private _nodeName(id: string): string {
    return isolate(this._model.state?.nodes.find(node => node.id === id)?.name ?? id);
  }

  private _roomiestFirst(objects: readonly IObject[]): INode[] {
    const free = (node: INode): number => node.free ?? node.capacity - node.used;
    const nodes = unique(objects.flatMap(object => this._model.targets(object)));
    return nodes.sort((left, right) => free(right) - free(left));
  }

  private get _api(): IApi {
    return this._model.api;
  }

  private readonly _notices: Notices;
}

function keeper(holder: IHolder, trans: TranslationBundle): string {
  const who = isolate(holderLabel(holder));
  return holder.cause ? trans.__('%1 (%2)', who, isolate(holder.cause)) : who;
}

function having(objects: readonly IObject[], node: string): IObject[] {
  return objects.filter(object => object.replicas.some(replica => replica.node === node));
}

function unique(nodes: readonly INode[]): INode[] {
  return [...new Map(nodes.map(node => [node.id, node])).values()];
}

/** A notification has no room for a name of thousands of letters. */
function shorten(name: string): string {
  return name.length > 60 ? `${name.slice(0, 57)}…` : name;
}
