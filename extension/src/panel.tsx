/**
 * The shell of the side panel: toolbar, the sections "Nodes" and "Objects", and whether anybody looks at it.
 *
 * Covers layout only; what the sections show is in `views/`, what it is made from in `model.ts`.
 */

import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { CommandToolbarButton, PanelWithToolbar, ReactWidget, SidePanel } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import type { AccordionPanel, Widget } from '@lumino/widgets';
import * as React from 'react';

import { acceptDrops, startDrag } from './drag';
import { workbenchIcon } from './icons';
import type { IWorkbenchModel } from './tokens';
import { CommandIDs } from './tokens';
import { VERSION } from './version';
import { NodesView } from './views/nodes';
import { ObjectsView } from './views/objects';
import type { IViewProps } from './views/types';

const BUTTONS = [
  CommandIDs.insertCode,
  CommandIDs.replicate,
  CommandIDs.move,
  CommandIDs.pin,
  CommandIDs.copyName,
  CommandIDs.deleteObject,
  CommandIDs.refresh
];

export class WorkbenchPanel extends SidePanel {
  constructor(options: WorkbenchPanel.IOptions) {
    super({ translator: options.translator });
    this._model = options.model;
    const { commands, model, notebooks, trans } = options;
    this.id = 'workbench-panel';
    this.addClass('wb-Panel');
    this.title.icon = workbenchIcon;
    this.title.caption = trans.__('Workbench: objects in shared memory');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Workbench'));
    for (const id of BUTTONS) {
      this.toolbar.addItem(id, new CommandToolbarButton({ commands, id, label: '' }));
    }
    const props: IViewProps = {
      model,
      commands,
      trans,
      extensionVersion: VERSION,
      onDrag: (ids, event) => void startDrag(ids, event, { model, notebooks, trans })
    };
    this._nodes = ReactWidget.create(<NodesView {...props} />);
    this.addWidget(section(trans.__('Nodes'), this._nodes));
    const objects = section(trans.__('Objects'), ReactWidget.create(<ObjectsView {...props} />));
    objects.addClass('wb-mod-fill');
    this.addWidget(objects);
    this._drops = acceptDrops(this._nodes.node, (verb, ids, to) => {
      void commands.execute(verb === 'move' ? CommandIDs.move : CommandIDs.replicate, { objects: ids, to });
    });
    this._accordion.handleMoved.connect(this._onHandleMoved, this);
    this._observer = new ResizeObserver(() => this._fitNodes());
  }

  /** Put the keyboard into the filter. */
  focusFilter(): void {
    this.node.querySelector<HTMLInputElement>('.wb-Filter-input')?.focus();
  }

  dispose(): void {
    this._drops.dispose();
    super.dispose();
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    document.addEventListener('visibilitychange', this._onVisibility);
    this._observer.observe(this._nodes.node);
    this._observer.observe(this.content.node);
    this._look();
  }

  protected onBeforeDetach(msg: Message): void {
    document.removeEventListener('visibilitychange', this._onVisibility);
    this._observer.disconnect();
    this._model.active = false;
    super.onBeforeDetach(msg);
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._look();
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._look();
  }

  /** Only a panel that can be seen costs anything. */
  private _look(): void {
    this._model.active = this.isVisible && !document.hidden;
  }

  private readonly _onVisibility = (): void => this._look();

  private get _accordion(): AccordionPanel {
    return this.content as AccordionPanel;
  }

  private _onHandleMoved(): void {
    this._movedByHand = true;
  }

  /** Give the nodes the height that they need, at most half of the panel, until somebody moves the handle. */
  private _fitNodes(): void {
    const titles = this._accordion.titles.reduce((sum, title) => sum + title.offsetHeight, 0);
    const height = this._accordion.node.clientHeight - titles;
    const wanted = this._nodes.node.offsetHeight;
    if (this._movedByHand || height <= 0 || wanted === 0) {
      return;
    }
    const share = Math.min(0.5, (wanted + 1) / height);
    if (Math.abs(share - this._share) > 0.002) {
      this._share = share;
      this._accordion.setRelativeSizes([share, 1 - share]);
    }
  }

  private readonly _drops: IDisposable;
  private readonly _model: IWorkbenchModel;
  private _movedByHand = false;
  private readonly _nodes: Widget;
  private readonly _observer: ResizeObserver;
  private _share = 0;
}

export namespace WorkbenchPanel {
  export interface IOptions {
    readonly model: IWorkbenchModel;
    readonly commands: CommandRegistry;
    readonly notebooks: INotebookTracker | null;
    readonly translator: ITranslator;
    readonly trans: TranslationBundle;
  }
}

/** A section of the accordion. */
function section(label: string, content: Widget): Widget {
  const panel = new PanelWithToolbar();
  panel.title.label = label;
  panel.addClass('wb-Section');
  panel.addWidget(content);
  return panel;
}
