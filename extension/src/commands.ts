/**
 * Every action as a command, so that menus, buttons, keys, the palette and other extensions call the same.
 *
 * Covers how a command finds what it acts on: the objects given as arguments, else the selected ones; the node given, else
 * the one whose menu is open. Which commands there are is in `catalog.ts`, what they do in `actions.ts`.
 */

import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DisposableDelegate, DisposableSet } from '@lumino/disposable';
import type { IDisposable } from '@lumino/disposable';

import { generalCommands, nodeCommands, objectCommands, replicaCommands } from './catalog';
import type { INode, IObject, IWorkbenchModel } from './tokens';

export interface ICommandOptions {
  readonly commands: CommandRegistry;
  readonly model: IWorkbenchModel;
  readonly trans: TranslationBundle;

  /** Without it there is no notebook to insert code into. */
  readonly notebooks: INotebookTracker | null;

  /** Bring the panel to the front, and put the keyboard into its filter. */
  readonly openPanel: () => void;
  readonly focusFilter?: () => void;

  /** Open a notebook. */
  readonly openNotebook?: (path: string) => void;

  /** Show where the partitions of a dataset are. */
  readonly showPartitions?: (object: IObject) => void;

  /** Id of the node whose context menu is open. */
  readonly hitNode?: () => string | undefined;
}

/** What all commands have. */
interface ICommand {
  readonly id: string;
  readonly label: string;
  readonly caption: string;
  readonly icon?: LabIcon;
  readonly properties?: ReadonlyJSONObject;
}

export interface IGeneralCommand extends ICommand {
  readonly enabled?: (args: ReadonlyPartialJSONObject) => boolean;
  /** Whether it is shown in a menu only where it is enabled. */
  readonly hide?: boolean;
  readonly toggled?: () => boolean;
  readonly execute: (args: ReadonlyPartialJSONObject) => Promise<void> | void;
}

/** A command on objects is enabled when it is for at least one of them, and acts on those. */
export interface IObjectCommand extends ICommand {
  /** What the user must be permitted. */
  readonly permission?: 'write' | 'execute';
  /** Whether it is shown in a menu where it is for none of the objects. */
  readonly hide?: boolean;
  /** Whether it acts on one object only. */
  readonly single?: boolean;
  readonly suits?: (object: IObject) => boolean;
  /** Why it would be refused for an object that it suits; null where it would not. */
  readonly why?: (object: IObject) => string | null;
  readonly execute: (objects: IObject[], args: ReadonlyPartialJSONObject) => Promise<void> | void;
}

export interface INodeCommand extends ICommand {
  readonly suits: (node: INode) => boolean;
  readonly execute: (node: INode, args: ReadonlyPartialJSONObject) => Promise<void> | void;
}

/** Add the commands; dispose the result to remove them. */
export function addCommands(options: ICommandOptions): IDisposable {
  const { commands, model } = options;
  const added = new DisposableSet();
  const general = generalCommands(options);
  const objects = [...objectCommands(options), ...replicaCommands(options)];
  general.forEach(command => added.add(addGeneral(options, command)));
  objects.forEach(command => added.add(addOnObjects(options, command)));
  nodeCommands(options).forEach(command => added.add(addOnNode(options, command)));
  // Buttons show whether a command can be used now.
  const notify = (): void => [...general, ...objects].forEach(({ id }) => commands.notifyCommandChanged(id));
  model.changed.connect(notify);
  added.add(new DisposableDelegate(() => model.changed.disconnect(notify)));
  return added;
}

function addGeneral({ commands }: ICommandOptions, command: IGeneralCommand): IDisposable {
  return commands.addCommand(command.id, {
    label: command.label,
    caption: command.caption,
    icon: command.icon,
    describedBy: { args: { type: 'object', properties: command.properties ?? {} } },
    isEnabled: args => command.enabled?.(args) ?? true,
    isVisible: args => !command.hide || (command.enabled?.(args) ?? true),
    isToggled: command.toggled,
    execute: args => command.execute(args)
  });
}

function addOnObjects({ commands, model, trans }: ICommandOptions, command: IObjectCommand): IDisposable {
  const suited = (args: ReadonlyPartialJSONObject): IObject[] => {
    const found = objectsOf(model, args);
    const some = command.single && found.length > 1 ? [] : found;
    return some.filter(object => command.suits?.(object) ?? true);
  };
  const targets = (args: ReadonlyPartialJSONObject): IObject[] =>
    suited(args).filter(object => (command.why?.(object) ?? null) === null);
  // Menus have no tooltips, so the label says it, too.
  const reason = (args: ReadonlyPartialJSONObject): string | null =>
    command.why === undefined || targets(args).length > 0
      ? null
      : (suited(args)
          .map(command.why)
          .find(why => why !== null) ?? null);
  const permitted = (): boolean => command.permission === undefined || model.permissions[command.permission];
  const properties: ReadonlyJSONObject = {
    object: { type: 'string', description: trans.__('Id of the object; without it, the selected ones') },
    ...(command.single
      ? {}
      : { objects: { type: 'array', items: { type: 'string' }, description: trans.__('Ids of several objects') } }),
    ...command.properties
  };
  return commands.addCommand(command.id, {
    label: args => {
      const why = reason(args);
      return why === null ? command.label : trans.__('%1 (%2)', command.label, why);
    },
    caption: args => reason(args) ?? command.caption,
    icon: command.icon,
    describedBy: { args: { type: 'object', properties } },
    isEnabled: args => permitted() && targets(args).length > 0,
    isVisible: args => !command.hide || objectsOf(model, args).length === 0 || suited(args).length > 0,
    execute: async args => {
      const found = targets(args);
      if (found.length > 0) {
        await command.execute(found, args);
      }
    }
  });
}

function objectsOf(model: IWorkbenchModel, args: ReadonlyPartialJSONObject): IObject[] {
  const ids = Array.isArray(args.objects)
    ? args.objects.map(String)
    : typeof args.object === 'string'
      ? [args.object]
      : model.selection;
  return ids.map(id => model.find(id)).filter(object => object !== undefined);
}

function addOnNode({ commands, hitNode, model, trans }: ICommandOptions, command: INodeCommand): IDisposable {
  const target = (args: ReadonlyPartialJSONObject): INode | undefined => {
    const id = typeof args.node === 'string' ? args.node : hitNode?.();
    const node = model.state?.nodes.find(candidate => candidate.id === id);
    return node !== undefined && command.suits(node) ? node : undefined;
  };
  const node: ReadonlyJSONObject = {
    type: 'string',
    description: trans.__('Id of the node; without it, the one whose menu is open')
  };
  return commands.addCommand(command.id, {
    label: command.label,
    caption: command.caption,
    icon: command.icon,
    describedBy: { args: { type: 'object', properties: { node, ...command.properties } } },
    isEnabled: args => model.permissions.execute && target(args) !== undefined,
    execute: async args => {
      const found = target(args);
      if (found !== undefined) {
        await command.execute(found, args);
      }
    }
  });
}
