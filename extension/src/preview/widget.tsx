/** The main-area widget of a preview: one for each object; it looks at the model only while it is seen. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { openObjectMenu } from '../card/menu';
import { missingOf } from '../completeness';
import { objectLabel } from '../format';
import { kindIcon, workbenchIcon } from '../icons';
import type { IWorkbenchModel } from '../tokens';
import { CommandIDs } from '../tokens';
import { PreviewPages } from './pages';
import type { IPreviewApi } from './tokens';
import { PreviewView } from './view';

export class PreviewContent extends ReactWidget {
  constructor(private readonly _options: PreviewContent.IOptions) {
    super();
    const { api, label, model, object } = _options;
    this.addClass('wb-PreviewPanel');
    this.id = `workbench-preview-${object}`;
    this.title.label = label;
    this.title.icon = workbenchIcon;
    this.title.closable = true;
    this._pages = new PreviewPages(api, object);
    model.changed.connect(this._rename, this);
    this._rename();
  }

  get object(): string {
    return this._options.object;
  }

  get label(): string {
    return this.title.label;
  }

  dispose(): void {
    this._options.model.changed.disconnect(this._rename, this);
    this._pages.dispose();
    super.dispose();
  }

  protected render(): JSX.Element {
    const { commands, model, object, trans } = this._options;
    return (
      <UseSignal signal={model.changed}>
        {() => {
          const found = model.find(object) ?? null;
          this._known ||= found !== null;
          const to = model.state?.store?.node;
          const elsewhere = to !== undefined && found?.replicas.every(({ node }) => node !== to) === true;
          const reached = found === null ? null : (missingOf(found)?.reached ?? Infinity);
          if (found !== null && ((this._elsewhere && !elsewhere) || reached! > this._reached)) {
            // It has come here, by whomever, or partitions are in reach again: now there is more to see.
            void this._pages.retry();
          }
          this._elsewhere = elsewhere;
          this._reached = reached ?? Infinity;
          const connected = to !== undefined && model.state?.cluster.state === 'connected';
          return (
            <PreviewView
              label={this.title.label}
              object={found}
              gone={found === null && this._known && model.state?.truncated === 0}
              pages={this._pages}
              trans={trans}
              bring={connected ? () => commands.execute(CommandIDs.replicate, { object, to }) : undefined}
              openMenu={(element, target) => openObjectMenu(element, commands, target)}
            />
          );
        }}
      </UseSignal>
    );
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._look(true);
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this._look(this.isVisible);
  }

  protected onAfterHide(msg: Message): void {
    this._look(false);
    super.onAfterHide(msg);
  }

  protected onBeforeDetach(msg: Message): void {
    this._look(false);
    super.onBeforeDetach(msg);
  }

  /** What was never seen is not asked for: a restored desk may have many previews behind each other. */
  private _look(seen: boolean): void {
    if (!seen) {
      this._looking?.dispose();
      this._looking = null;
      return;
    }
    this._looking ??= this._options.model.look();
    if (!this._begun) {
      this._begun = true;
      void this._pages.show(0, 0);
    }
  }

  private _rename(): void {
    const found = this._options.model.find(this._options.object);
    if (found !== undefined) {
      this.title.label = objectLabel(found);
      this.title.icon = kindIcon(found.kind);
    }
    this.title.caption = this._options.trans.__('Preview of %1', this.title.label);
  }

  private _begun = false;
  private _elsewhere = false;
  /** Partitions that were in reach, infinitely many of what is whole. */
  private _reached = Infinity;
  private _known = false;
  private _looking: IDisposable | null = null;
  private readonly _pages: PreviewPages;
}

export namespace PreviewContent {
  export interface IOptions {
    readonly api: IPreviewApi;
    readonly commands: CommandRegistry;
    readonly label: string;
    readonly model: IWorkbenchModel;
    /** Its id. */
    readonly object: string;
    readonly trans: TranslationBundle;
  }
}

/** A preview for the main area. */
export function makePreview(options: PreviewContent.IOptions): MainAreaWidget<PreviewContent> {
  const content = new PreviewContent(options);
  const widget = new MainAreaWidget({ content });
  widget.id = content.id;
  widget.toolbar.hide();
  return widget;
}
