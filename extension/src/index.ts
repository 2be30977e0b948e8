/**
 * The plugins of the extension: the model, the commands and the panel.
 *
 * Covers what is asked of the application and what is given to it. Every token of JupyterLab's is optional: Notebook 7
 * lacks some of them, and other applications more. Read next: `tokens.ts`, `model.ts`, `panel.tsx`.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { card } from './card/plugin';
import { preview } from './preview/plugin';
import { CommandIDs, DOMAIN, IWorkbenchModel } from './tokens';

export { CommandIDs, IWorkbenchModel } from './tokens';

const PANEL = 'workbench-panel';

const model: JupyterFrontEndPlugin<IWorkbenchModel> = {
  id: 'shm-workbench:model',
  description: 'Knows the objects in shared memory, the nodes and the operations, for whoever shows them.',
  autoStart: true,
  provides: IWorkbenchModel,
  activate: async (app: JupyterFrontEnd): Promise<IWorkbenchModel> => {
    const [{ WorkbenchApi }, { WorkbenchModel }] = await Promise.all([import('./api'), import('./model')]);
    const { events, serverSettings } = app.serviceManager;
    return new WorkbenchModel({ api: new WorkbenchApi(serverSettings), events: events.stream });
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'shm-workbench:commands',
  description: 'The actions on objects as commands: move, replicate, drop, delete, insert code, copy name.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator, ICommandPalette, INotebookTracker],
  activate: async (
    app: JupyterFrontEnd,
    workbench: IWorkbenchModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null
  ): Promise<void> => {
    const { addCommands } = await import('./commands');
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addCommands({
      commands: app.commands,
      model: workbench,
      notebooks,
      trans,
      openPanel: () => app.shell.activateById(PANEL)
    });
    // Whether there is a notebook to insert code into.
    notebooks?.currentChanged.connect(() => app.commands.notifyCommandChanged(CommandIDs.insertCode));
    const category = trans.__('Workbench');
    for (const command of Object.values(CommandIDs).filter(id => app.commands.hasCommand(id))) {
      palette?.addItem({ command, category });
    }
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'shm-workbench:panel',
  description: 'A side panel with the objects in shared memory and the nodes that have them.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator, ILayoutRestorer],
  activate: async (
    app: JupyterFrontEnd,
    workbench: IWorkbenchModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ): Promise<void> => {
    const { WorkbenchPanel } = await import('./panel');
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const widget = new WorkbenchPanel({
      commands: app.commands,
      model: workbench,
      trans,
      translator: translator ?? nullTranslator
    });
    restorer?.add(widget, PANEL);
    app.shell.add(widget, 'left', { rank: 600, type: 'Workbench' });
  }
};

export default [model, commands, panel, card, preview];
