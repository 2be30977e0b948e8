/** The plugin that shows cards in notebooks. Covers the registration; what is shown is in `renderer.tsx`. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { DOMAIN, IWorkbenchModel } from '../tokens';
import type { ICardServices } from './renderer';
import { CARD } from './tokens';

/** Before HTML, which is 50; whoever looks at a notebook without this extension sees that. */
const RANK = 45;

export const card: JupyterFrontEndPlugin<void> = {
  id: 'shm-workbench:card',
  description:
    'Shows objects, nodes and operations in notebooks as they are now, also while the kernel is busy or gone.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  // Not even the model is waited for: a notebook that is opened at the start shall find the renderer.
  activate: async (
    app: JupyterFrontEnd,
    registry: IRenderMimeRegistry,
    translator: ITranslator | null
  ): Promise<void> => {
    const { CardRenderer } = await import('./renderer');
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const services = serve(app);
    registry.addFactory(
      {
        safe: true,
        mimeTypes: [CARD],
        defaultRank: RANK,
        createRenderer: () => new CardRenderer({ services, trans })
      },
      RANK
    );
  }
};

async function serve(app: JupyterFrontEnd): Promise<ICardServices | null> {
  const model = await app.resolveOptionalService(IWorkbenchModel);
  if (model === null) {
    return null;
  }
  const { lookUp } = await import('./lookup');
  const { serverSettings } = app.serviceManager;
  return { commands: app.commands, model, lookup: id => lookUp(serverSettings, id) };
}
