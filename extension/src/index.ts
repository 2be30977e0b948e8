/**
 * The plugins of the extension: the model, the commands, the panel, and what stands in other places of JupyterLab.
 *
 * Covers what is asked of the application and what is given to it. Every token of JupyterLab's is optional: Notebook 7
 * lacks some of them, and other applications more. Read next: `tokens.ts`, `model.ts`, `panel.tsx`.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
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
  optional: [ITranslator, IStateDB],
  activate: async (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    state: IStateDB | null
  ): Promise<IWorkbenchModel> => {
    const [{ WorkbenchApi }, { WorkbenchModel }, { keepLayout }] = await Promise.all([
      import('./api'),
      import('./model'),
      import('./layout')
    ]);
    const { events, serverSettings } = app.serviceManager;
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const workbench = new WorkbenchModel({ api: new WorkbenchApi(serverSettings), events: events.stream, trans });
    if (state !== null) {
      void app.restored.then(() => keepLayout(workbench, state));
    }
    return workbench;
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'shm-workbench:commands',
  description: 'The actions on objects and nodes as commands: move, replicate, drop, pin, rename, delete and others.',
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
    const [{ addCommands }, { partitionsWidget }] = await Promise.all([import('./commands'), import('./partitions')]);
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const openPanel = (): void => app.shell.activateById(PANEL);
    addCommands({
      commands: app.commands,
      model: workbench,
      notebooks,
      trans,
      openPanel,
      focusFilter: () => {
        const focus = (): void => document.querySelector<HTMLInputElement>(`#${PANEL} .wb-Filter-input`)?.focus();
        // At once, for who types on; and again, for the palette gives the focus back to who had it, when it closes.
        focus();
        setTimeout(focus, 0);
      },
      openNotebook: path => void app.commands.execute('docmanager:open', { path }),
      showPartitions: object => {
        const widget = partitionsWidget(object, workbench, trans);
        const open = [...app.shell.widgets('main')].some(({ id }) => id === widget.id);
        if (open) {
          widget.dispose();
        } else {
          app.shell.add(widget, 'main');
        }
        app.shell.activateById(`workbench-partitions-${object.id}`);
      },
      hitNode: () => app.contextMenuHitTest(node => 'workbenchNode' in node.dataset)?.dataset.workbenchNode
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
  optional: [ITranslator, ILayoutRestorer, INotebookTracker],
  activate: async (
    app: JupyterFrontEnd,
    workbench: IWorkbenchModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    notebooks: INotebookTracker | null
  ): Promise<void> => {
    const { WorkbenchPanel } = await import('./panel');
    const widget = new WorkbenchPanel({
      commands: app.commands,
      model: workbench,
      notebooks,
      trans: (translator ?? nullTranslator).load(DOMAIN),
      translator: translator ?? nullTranslator
    });
    restorer?.add(widget, PANEL);
    app.shell.add(widget, 'left', { rank: 600, type: 'Workbench' });
  }
};

const elsewhere: JupyterFrontEndPlugin<void> = {
  id: 'shm-workbench:elsewhere',
  description: 'Shared memory in the status bar, and stores and clusters in the list of what is running.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator, IStatusBar, IRunningSessionManagers],
  activate: async (
    app: JupyterFrontEnd,
    workbench: IWorkbenchModel,
    translator: ITranslator | null,
    statusBar: IStatusBar | null,
    running: IRunningSessionManagers | null
  ): Promise<void> => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const open = (): void => void app.commands.execute(CommandIDs.openPanel);
    if (statusBar !== null) {
      const { MemoryStatus, localNode } = await import('./status');
      workbench.glancing = true;
      statusBar.registerStatusItem('shm-workbench:memory', {
        item: new MemoryStatus(workbench, open, trans),
        align: 'right',
        rank: 100,
        isActive: () => localNode(workbench) !== undefined,
        activeStateChanged: workbench.changed
      });
    }
    if (running !== null) {
      const { RunningStores } = await import('./running');
      running.add(new RunningStores(workbench, open, () => void app.commands.execute(CommandIDs.free), trans));
    }
  }
};

export default [model, commands, panel, elsewhere, card, preview];
