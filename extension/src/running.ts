/** The store and the cluster in JupyterLab's list of what is running. */

import type { IRunningSessions } from '@jupyterlab/running';
import { Signal } from '@lumino/signaling';

import type { ITrans } from './format';
import { inUse } from './bytes';
import { formatBytes } from './format';
import { workbenchIcon } from './icons';
import type { IWorkbenchModel } from './tokens';

/** Nothing here can be shut down: stores and clusters belong to whoever started them. What can be given back in one go is the memory of what was deleted. */
export class RunningStores implements IRunningSessions.IManager {
  constructor(
    private readonly _model: IWorkbenchModel,
    private readonly _openPanel: () => void,
    private readonly _free: () => void,
    private readonly _trans: ITrans
  ) {
    this.name = _trans.__('Shared Memory');
    this.shutdownAllLabel = _trans.__('Free Deleted');
    this.shutdownAllConfirmationText = _trans.__(
      'The memory of what was deleted is given back. Objects, stores and clusters stay.'
    );
    _model.changed.connect(this._onChanged, this);
  }

  readonly name: string;
  readonly shutdownAllLabel: string;
  readonly shutdownAllConfirmationText: string;

  get runningChanged(): Signal<this, void> {
    return this._runningChanged;
  }

  running(): IRunningSessions.IRunningItem[] {
    const state = this._model.state;
    const trans = this._trans;
    const items: IRunningSessions.IRunningItem[] = [];
    if (state?.store) {
      const { directory, memory } = state.store;
      items.push({
        icon: () => workbenchIcon,
        label: () => trans.__('Store of this host'),
        labelTitle: () => directory,
        detail: () =>
          memory ? trans.__('%1 of %2', formatBytes(inUse(memory)), formatBytes(memory.capacity)) : directory,
        open: this._openPanel
      });
    }
    if (state !== null && state.cluster.address !== null) {
      const nodes = state.nodes.filter(node => node.state !== 'lost').length;
      items.push({
        icon: () => workbenchIcon,
        label: () => trans.__('Cluster at %1', state.cluster.address ?? '?'),
        labelTitle: () => state.cluster.message ?? state.cluster.address ?? '',
        detail: () =>
          state.cluster.state === 'connected' ? trans._n('%1 node', '%1 nodes', nodes) : trans.__('does not answer'),
        open: this._openPanel
      });
    }
    return items;
  }

  refreshRunning(): void {
    void this._model.refresh();
  }

  shutdownAll(): void {
    this._free();
  }

  private _onChanged(): void {
    const text = this.running()
      .map(item => item.detail?.())
      .join('\n');
    if (text !== this._text) {
      this._text = text;
      this._runningChanged.emit();
    }
  }

  private readonly _runningChanged = new Signal<this, void>(this);
  private _text = '';
}
