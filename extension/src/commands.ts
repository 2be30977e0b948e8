/**
 * Every action as a command, so that menus, buttons, keys, the palette and other extensions call the same.
 *
 * Covers ids, labels, arguments and when a command is enabled; what it does is in `actions.ts`. A command acts on the
 * object given as argument, else on the selected one.
 */

import { Clipboard } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import { addBelowIcon, closeIcon, copyIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DisposableSet } from '@lumino/disposable';
import type { IDisposable } from '@lumino/disposable';

import { Actions } from './actions';
import { fetchCode } from './code';
import { workbenchIcon } from './icons';
import type { IObject, IWorkbenchModel } from './tokens';
import { CommandIDs } from './tokens';

export interface ICommandOptions {
  readonly commands: CommandRegistry;
  readonly model: IWorkbenchModel;
  readonly trans: TranslationBundle;

  /** Without it there is no notebook to insert code into. */
  readonly notebooks: INotebookTracker | null;

  /** Bring the panel to the front. */
  readonly openPanel: () => void;
}

interface IObjectCommand {
  readonly id: string;
  readonly label: string;
  readonly caption: string;
  readonly icon?: LabIcon;
  readonly properties?: ReadonlyJSONObject;
  readonly enabled?: (object: IObject) => boolean;
  readonly execute: (object: IObject, args: ReadonlyPartialJSONObject) => Promise<void> | void;
}

/** Add the commands; dispose the result to remove them. */
export function addCommands(options: ICommandOptions): IDisposable {
  const added = new DisposableSet();
  addGeneral(options, added);
  for (const command of [...onObjects(options), ...onReplicas(options)]) {
    added.add(addOnObject(options, command));
  }
  return added;
}

function addGeneral({ commands, model, openPanel, trans }: ICommandOptions, added: DisposableSet): void {
  added.add(
    commands.addCommand(CommandIDs.openPanel, {
      label: trans.__('Workbench'),
      caption: trans.__('Show the objects in shared memory, and on which nodes they are'),
      icon: workbenchIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: openPanel
    })
  );
  added.add(
    commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Refresh Workbench'),
      caption: trans.__('Ask the server what is shared now'),
      icon: refreshIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => model.refresh()
    })
  );
}

function addOnObject({ commands, model, trans }: ICommandOptions, command: IObjectCommand): IDisposable {
  const target = (args: ReadonlyPartialJSONObject): IObject | undefined =>
    model.find(typeof args.object === 'string' ? args.object : undefined);
  const object: ReadonlyJSONObject = {
    type: 'string',
    description: trans.__('Id of the object; without it, the selected one')
  };
  return commands.addCommand(command.id, {
    label: command.label,
    caption: command.caption,
    icon: command.icon,
    describedBy: { args: { type: 'object', properties: { object, ...command.properties } } },
    isEnabled: args => {
      const found = target(args);
      return found !== undefined && (command.enabled?.(found) ?? true);
    },
    execute: async args => {
      const found = target(args);
      if (found !== undefined) {
        await command.execute(found, args);
      }
    }
  });
}

/** Commands that need no cluster. */
function onObjects({ model, notebooks, trans }: ICommandOptions): IObjectCommand[] {
  const actions = new Actions(model, trans);
  return [
    {
      id: CommandIDs.insertCode,
      label: trans.__('Insert Code'),
      caption: trans.__('Insert a cell that fetches this object into the current notebook, without running it'),
      icon: addBelowIcon,
      enabled: () => notebooks?.currentWidget !== undefined && notebooks.currentWidget !== null,
      execute: object => insertCell(notebooks, fetchCode(object))
    },
    {
      id: CommandIDs.copyName,
      label: trans.__('Copy Name'),
      caption: trans.__('Copy the name of this object, or its id when it has none'),
      icon: copyIcon,
      execute: object => Clipboard.copyToSystem(object.name ?? object.id)
    },
    {
      id: CommandIDs.deleteObject,
      label: trans.__('Delete…'),
      caption: trans.__('Delete this object from every node'),
      icon: closeIcon,
      properties: { force: { type: 'boolean', description: trans.__('Delete without a question') } },
      execute: (object, args) => actions.deleteObject(object, args.force === true)
    }
  ];
}

/** Commands that need more than one node. */
function onReplicas({ model, trans }: ICommandOptions): IObjectCommand[] {
  const actions = new Actions(model, trans);
  const node = (description: string): ReadonlyJSONObject => ({ type: 'string', description });
  return [
    {
      id: CommandIDs.replicate,
      label: trans.__('Replicate to Node…'),
      caption: trans.__('Make one more replica of this object, on another node'),
      properties: { to: node(trans.__('Id of the node; without it, a dialog asks')) },
      enabled: object => model.targets(object).length > 0,
      execute: (object, { to }) => actions.replicate(object, typeof to === 'string' ? to : undefined)
    },
    {
      id: CommandIDs.move,
      label: trans.__('Move to Node…'),
      caption: trans.__('Move this object to another node'),
      properties: { to: node(trans.__('Id of the node; without it, a dialog asks')) },
      enabled: object => model.targets(object).length > 0,
      execute: (object, { to }) => actions.move(object, typeof to === 'string' ? to : undefined)
    },
    {
      id: CommandIDs.drop,
      label: trans.__('Drop from Node…'),
      caption: trans.__('Remove the replica of this object on one node'),
      properties: { node: node(trans.__('Id of the node; without it, a dialog asks')) },
      enabled: object => object.replicas.length > 0 && model.state?.cluster.state === 'connected',
      execute: (object, args) => actions.drop(object, typeof args.node === 'string' ? args.node : undefined)
    }
  ];
}

/** Put a cell with `code` below the active one of the current notebook, and leave running it to the user. */
function insertCell(notebooks: INotebookTracker | null, code: string): void {
  const notebook = notebooks?.currentWidget?.content;
  if (!notebook) {
    return;
  }
  NotebookActions.insertBelow(notebook);
  notebook.activeCell?.model.sharedModel.setSource(code);
  void notebook.scrollToItem(notebook.activeCellIndex, 'smart');
}
