/** The plugin of previews: the command that opens one, and bringing them back after a reload. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import type { MainAreaWidget } from '@jupyterlab/apputils';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, DOMAIN, IWorkbenchModel } from '../tokens';
import type { PreviewContent } from './widget';

export const preview: JupyterFrontEndPlugin<void> = {
  id: 'shm-workbench:preview',
  description: 'Shows what is in an object: rows, a picture or text.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    model: IWorkbenchModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const tracker = new WidgetTracker<MainAreaWidget<PreviewContent>>({ namespace: 'workbench-preview' });
    app.commands.addCommand(CommandIDs.preview, {
      label: trans.__('Preview'),
      caption: trans.__('Show what is in this object: rows, a picture or text'),
      describedBy: {
        args: {
          type: 'object',
          properties: {
            object: { type: 'string', description: trans.__('Id of the object; without it, the selected one') },
            label: { type: 'string', description: trans.__('What the tab is called until the object is known') }
          }
        }
      },
      isEnabled: args => typeof args.object === 'string' || model.find() !== undefined,
      execute: async args => {
        const object = typeof args.object === 'string' ? args.object : model.find()?.id;
        if (object === undefined) {
          return undefined;
        }
        let widget = tracker.find(({ content }) => content.object === object);
        if (widget === undefined) {
          const [{ PreviewApi }, { makePreview }, { objectLabel }] = await Promise.all([
            import('./api'),
            import('./widget'),
            import('../format')
          ]);
          const known = model.find(object);
          const label =
            known !== undefined ? objectLabel(known) : typeof args.label === 'string' ? args.label : object.slice(0, 8);
          const api = new PreviewApi(app.serviceManager.serverSettings);
          widget = makePreview({ api, commands: app.commands, label, model, object, trans });
          await tracker.add(widget);
        }
        if (!widget.isAttached) {
          app.shell.add(widget, 'main', { type: 'Workbench Preview' });
        }
        if (!widget.isAttached) {
          // The main area of Jupyter Notebook has room for the notebook alone.
          app.shell.add(widget, 'down', { type: 'Workbench Preview' });
        }
        app.shell.activateById(widget.id);
        return widget;
      }
    });
    palette?.addItem({ command: CommandIDs.preview, category: trans.__('Workbench') });
    if (restorer !== null) {
      void restorer.restore(tracker, {
        command: CommandIDs.preview,
        args: ({ content }) => ({ object: content.object, label: content.label }),
        name: ({ content }) => content.object
      });
    }
  }
};
