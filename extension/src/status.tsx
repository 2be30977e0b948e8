/** The shared memory that is used on this host, in the status bar; a click opens the panel. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { inUse } from './bytes';
import { formatBytes } from './format';
import type { INode, IWorkbenchModel } from './tokens';
import { describeBytes } from './views/nodes';
import { useSignal } from './views/use';

export class MemoryStatus extends ReactWidget {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _openPanel: () => void,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('wb-Status');
  }

  protected render(): JSX.Element {
    return <Status model={this._model} open={this._openPanel} trans={this._trans} />;
  }
}

/** The node whose store this is. */
export function localNode(model: IWorkbenchModel): INode | undefined {
  return model.state?.nodes.find(node => node.id === model.state?.store?.node);
}

function Status(props: { model: IWorkbenchModel; open: () => void; trans: TranslationBundle }): JSX.Element {
  const { model, open, trans } = props;
  useSignal(model.changed);
  const node = localNode(model);
  if (node === undefined) {
    return <></>;
  }
  const used = formatBytes(inUse(node));
  return (
    <button
      className="wb-Status-button"
      type="button"
      title={trans.__('This host: %1', describeBytes(node, trans))}
      onClick={open}
    >
      {trans.__('Shared: %1 / %2', used, formatBytes(node.capacity))}
    </button>
  );
}
