/**
 * The commands of the object browser: those of the panel that make sense outside of JupyterLab, with the same ids.
 *
 * Covers what each is called, when it is for an object, and what it does; questions are asked by whoever made this.
 */

import type { ITrans } from '../format';
import { formatBytes, isolate, objectLabel } from '../format';
import type { INode, IObject, IOperation, IProblem, IWorkbenchModel } from '../tokens';
import { CommandIDs } from '../tokens';
import type { ICommands } from '../views/types';
import { copyText } from '../views/use';

/** A question; the answer is null when it was called off. */
export interface IQuestion {
  readonly text: string;
  readonly accept: string;
  /** One of these is chosen; or a text is typed, where there is `value`. */
  readonly choices?: readonly { readonly value: string; readonly label: string }[];
  readonly value?: string;
  readonly label?: string;
}

export interface IDesk {
  ask(question: IQuestion): Promise<string | null>;
  say(text: string, failed?: boolean): void;
  /** Show what is in an object. */
  show(object: IObject): void;
}

interface ICommand {
  readonly label: string;
  readonly caption: string;
  readonly suits: (object: IObject) => boolean;
  readonly run: (objects: readonly IObject[]) => Promise<void>;
}

type Args = Readonly<Record<string, string | boolean | string[]>>;

/** In the order of the menu. */
export const MENU = [
  CommandIDs.preview,
  CommandIDs.copyName,
  CommandIDs.rename,
  CommandIDs.pin,
  CommandIDs.unpin,
  CommandIDs.replicate,
  CommandIDs.move,
  CommandIDs.drop,
  CommandIDs.cancel,
  CommandIDs.spill,
  CommandIDs.restore,
  CommandIDs.deleteObject
];

/** What changes nothing. */
const QUIET: ReadonlySet<string> = new Set([CommandIDs.copyName, CommandIDs.pause, CommandIDs.preview]);

export const NODE_MENU = [CommandIDs.drain, CommandIDs.undrain];

export class BrowserCommands implements ICommands {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _desk: IDesk,
    private readonly _trans: ITrans
  ) {
    this._onObjects = this._makeOnObjects();
  }

  label(id: string): string {
    return this._onObjects[id]?.label ?? this._labelOfOther(id);
  }

  caption(id: string): string {
    return this._onObjects[id]?.caption ?? this.label(id);
  }

  isEnabled(id: string, args: Args = {}): boolean {
    const { counts, state } = this._model;
    switch (id) {
      case CommandIDs.refresh:
      case CommandIDs.pause:
        return true;
      case CommandIDs.free:
        return state !== null;
      case CommandIDs.deleteUnnamed:
        return counts.unnamed > 0;
      case CommandIDs.drain:
        return this._node(args)?.state === 'running' && (state?.nodes.length ?? 0) > 1;
      case CommandIDs.undrain:
        return ['draining', 'drained'].includes(this._node(args)?.state ?? '');
      default:
        return this._targets(id, args).length > 0;
    }
  }

  async execute(id: string, args: Args = {}): Promise<void> {
    if (!this.isEnabled(id, args)) {
      return;
    }
    try {
      await (this._onObjects[id]?.run(this._targets(id, args)) ?? this._executeOther(id, args));
    } catch (error) {
      this._desk.say(error instanceof Error ? error.message : String(error), true);
    }
    if (!QUIET.has(id)) {
      await this._model.refresh();
    }
  }

  private async _executeOther(id: string, args: Args): Promise<void> {
    const { api } = this._model;
    const node = this._node(args);
    switch (id) {
      case CommandIDs.pause:
        this._model.paused = !this._model.paused;
        break;
      case CommandIDs.free: {
        const { freed } = await api.free();
        this._desk.say(this._trans.__('%1 freed', formatBytes(freed)));
        break;
      }
      case CommandIDs.deleteUnnamed:
        await this._delete((this._model.state?.objects ?? []).filter(({ name, pinned }) => name === null && !pinned));
        break;
      case CommandIDs.drain:
        if (
          node !== undefined &&
          (await this._sure(this._trans.__('Bring what only “%1” has to other nodes?', isolate(node.name))))
        ) {
          await api.drain(node.id);
        }
        break;
      case CommandIDs.undrain:
        await api.undrain(node?.id ?? '');
        break;
    }
  }

  private _labelOfOther(id: string): string {
    const labels: Record<string, string> = {
      [CommandIDs.refresh]: this._trans.__('Refresh'),
      [CommandIDs.drain]: this._trans.__('Drain Node…'),
      [CommandIDs.undrain]: this._trans.__('Give Node Back')
    };
    return labels[id] ?? id;
  }

  private _makeOnObjects(): Readonly<Record<string, ICommand>> {
    const { _model: model, _trans: trans } = this;
    const here = (object: IObject, state: string): boolean =>
      object.replicas.some(replica => replica.node === model.state?.store?.node && replica.state === state);
    const each = (action: (object: IObject) => Promise<unknown>) => async (objects: readonly IObject[]) => {
      for (const object of objects) {
        await action(object);
      }
    };
    return {
      [CommandIDs.preview]: {
        label: trans.__('Preview'),
        caption: trans.__('Show what is in this object: rows, a picture or text'),
        suits: () => true,
        run: objects => Promise.resolve(this._desk.show(objects[0]))
      },
      [CommandIDs.copyName]: {
        label: trans.__('Copy Name'),
        caption: trans.__('Copy the name of this object, or its id when it has none'),
        suits: () => true,
        run: objects => copyText(objects.map(object => object.name ?? object.id).join('\n'))
      },
      [CommandIDs.rename]: {
        label: trans.__('Rename…'),
        caption: trans.__('Give this object another name'),
        suits: () => true,
        run: objects => this._rename(objects[0])
      },
      [CommandIDs.pin]: {
        label: trans.__('Pin'),
        caption: trans.__('Keep this object in memory, and from being deleted with its name'),
        suits: object => !object.pinned,
        run: each(object => model.api.pin(object.id, true))
      },
      [CommandIDs.unpin]: {
        label: trans.__('Unpin'),
        caption: trans.__('Let this object be spilled to disk again'),
        suits: object => object.pinned,
        run: each(object => model.api.pin(object.id, false))
      },
      [CommandIDs.replicate]: {
        label: trans.__('Replicate to Node…'),
        caption: trans.__('Make one more replica of this object, on another node'),
        suits: object => model.targets(object).length > 0,
        run: each(object => this._transfer(object, 'replicate'))
      },
      [CommandIDs.move]: {
        label: trans.__('Move to Node…'),
        caption: trans.__('Move this object to another node'),
        suits: object => model.targets(object).length > 0,
        run: each(object => this._transfer(object, 'move'))
      },
      [CommandIDs.drop]: {
        label: trans.__('Drop from Node…'),
        caption: trans.__('Remove the replica of this object on one node'),
        suits: object => object.replicas.length > 0 && model.state?.cluster.state === 'connected',
        run: each(object => this._drop(object))
      },
      [CommandIDs.cancel]: {
        label: trans.__('Cancel Transfer'),
        caption: trans.__('Stop moving or replicating this object; nothing half is left'),
        suits: object => this._running(object).length > 0,
        run: each(object => Promise.all(this._running(object).map(({ id }) => model.api.cancel(id))))
      },
      [CommandIDs.spill]: {
        label: trans.__('Spill to Disk'),
        caption: trans.__('Move this object from memory to disk, where it stays readable'),
        suits: object => here(object, 'memory') && !object.pinned && object.inline !== true,
        run: each(object => model.api.spill(object.id))
      },
      [CommandIDs.restore]: {
        label: trans.__('Restore to Memory'),
        caption: trans.__('Bring this object from disk back to memory'),
        suits: object => here(object, 'disk'),
        run: each(object => model.api.restore(object.id))
      },
      [CommandIDs.deleteObject]: {
        label: trans.__('Delete…'),
        caption: trans.__('Delete this object from every node'),
        suits: () => true,
        run: objects => this._delete(objects)
      }
    };
  }

  private async _rename(object: IObject): Promise<void> {
    const name = await this._desk.ask({
      text: this._trans.__('Rename “%1”', isolate(objectLabel(object))),
      label: this._trans.__('New name'),
      value: object.name ?? '',
      accept: this._trans.__('Rename')
    });
    if (name) {
      await this._model.api.rename(object.id, name);
    }
  }

  private async _transfer(object: IObject, verb: 'move' | 'replicate'): Promise<void> {
    const { api } = this._model;
    const label = isolate(objectLabel(object));
    const size = formatBytes(object.nbytes);
    const to = await this._chooseNode(
      this._model.targets(object),
      verb === 'move'
        ? this._trans.__('Move “%1” (%2) to another node', label, size)
        : this._trans.__('Make one more replica of “%1” (%2)', label, size),
      verb === 'move' ? this._trans.__('Move') : this._trans.__('Replicate')
    );
    if (to === null) {
      return;
    }
    const operation = await (verb === 'move' ? api.move(object.id, to) : api.replicate(object.id, [to]));
    const ended = await this._model.follow(operation);
    const done = ended.state === 'done';
    this._desk.say(
      done ? this._trans.__('“%1” is on %2', label, this._nodeName(to)) : this._why(label, ended),
      ended.state === 'failed'
    );
  }

  private async _drop(object: IObject): Promise<void> {
    const label = isolate(objectLabel(object));
    const node = await this._chooseNode(
      this._model.holding(object),
      this._trans.__('Remove the replica of “%1” on one node', label),
      this._trans.__('Drop')
    );
    if (node === null) {
      return;
    }
    try {
      await this._model.api.drop(object.id, node);
    } catch (error) {
      if ((error as Partial<IProblem>).kind !== 'last-replica') {
        throw error;
      }
      const question = this._trans.__('This is the last replica of “%1”: the data will be gone. Drop it?', label);
      if (await this._sure(question)) {
        await this._model.api.drop(object.id, node, true);
      }
    }
  }

  private async _delete(objects: readonly IObject[]): Promise<void> {
    const count = objects.length;
    const text =
      count === 1
        ? this._trans.__('Delete “%1” from every node? It cannot be undone.', isolate(objectLabel(objects[0])))
        : this._trans.__('Delete these %1 objects from every node? It cannot be undone.', count);
    if (await this._sure(text, this._trans.__('Delete'))) {
      const { failed } = await this._model.api.deleteMany(objects.map(({ id }) => id));
      if (failed.length > 0) {
        this._desk.say(failed[0].message, true);
      } else {
        this._desk.say(this._trans._n('%1 object deleted', '%1 objects deleted', count));
      }
    }
  }

  private async _chooseNode(nodes: readonly INode[], text: string, accept: string): Promise<string | null> {
    const choices = nodes.map(({ id, name }) => ({ value: id, label: name }));
    return this._desk.ask({ text, accept, choices, label: this._trans.__('Node') });
  }

  private async _sure(text: string, accept = this._trans.__('Yes')): Promise<boolean> {
    return (await this._desk.ask({ text, accept })) !== null;
  }

  private _why(label: string, operation: IOperation): string {
    return operation.state === 'cancelled'
      ? this._trans.__('“%1”: cancelled', label)
      : this._trans.__('“%1”: failed. %2', label, operation.error?.message ?? '');
  }

  private _targets(id: string, args: Args): IObject[] {
    const command = this._onObjects[id];
    const ids = Array.isArray(args.objects)
      ? args.objects
      : typeof args.object === 'string'
        ? [args.object]
        : this._model.selection;
    const found = ids.map(each => this._model.find(each)).filter(object => object !== undefined);
    return command === undefined ? [] : found.filter(command.suits);
  }

  private _running(object: IObject): IOperation[] {
    const operations = this._model.state?.operations ?? [];
    return operations.filter(each => each.object === object.id && each.state === 'running');
  }

  private _node(args: Args): INode | undefined {
    return this._model.state?.nodes.find(node => node.id === args.node);
  }

  private _nodeName(id: string): string {
    return isolate(this._model.state?.nodes.find(node => node.id === id)?.name ?? id);
  }

  private readonly _onObjects: Readonly<Record<string, ICommand>>;
}
