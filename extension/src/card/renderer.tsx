/**
 * The renderer of cards in notebooks: shows the snapshot at once, and how things are now as soon as the model is there.
 *
 * Covers when a card looks: while any of it is on the screen. It asks the server, through the model that it shares with
 * the panel, and never a kernel. What it shows is in `views.tsx`.
 */

import type { IRenderMime } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import type { IWorkbenchModel } from '../tokens';
import type { Lookup } from './entries';
import type { Card } from './tokens';
import { CARD, readCard } from './tokens';
import { CardView } from './views';

/** What makes a card live. */
export interface ICardServices {
  readonly commands: CommandRegistry;
  readonly lookup: Lookup;
  readonly model: IWorkbenchModel;
}

export class CardRenderer extends ReactWidget implements IRenderMime.IRenderer {
  constructor(options: CardRenderer.IOptions) {
    super();
    this.addClass('wb-CardOutput');
    // Keys are for the buttons of the card; the notebook's own single keys would delete its cell.
    this.node.dataset.lmSuppressShortcuts = 'true';
    this._trans = options.trans;
    this._observer = new IntersectionObserver(entries => {
      this._onScreen = entries[entries.length - 1].isIntersecting;
      this._look();
    });
    void options.services.then(services => {
      this._services = services;
      this._look();
      this.update();
    });
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._card = readCard(model.data[CARD]);
    this.update();
    return this.renderPromise ?? Promise.resolve();
  }

  dispose(): void {
    this._observer.disconnect();
    this._onScreen = false;
    this._look();
    super.dispose();
  }

  protected render(): JSX.Element {
    return <CardView card={this._card} services={this._services} trans={this._trans} />;
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this._observer.observe(this.node);
  }

  protected onBeforeDetach(msg: Message): void {
    this._observer.unobserve(this.node);
    this._onScreen = false;
    this._look();
    super.onBeforeDetach(msg);
  }

  private _look(): void {
    if (this._onScreen && this._services !== null) {
      this._looking ??= this._services.model.look();
    } else {
      this._looking?.dispose();
      this._looking = null;
    }
  }

  private _card: Card | null = null;
  private _looking: IDisposable | null = null;
  private readonly _observer: IntersectionObserver;
  private _onScreen = false;
  private _services: ICardServices | null = null;
  private readonly _trans: TranslationBundle;
}

export namespace CardRenderer {
  export interface IOptions {
    /** Null: the snapshot is all that there is. */
    readonly services: Promise<ICardServices | null>;
    readonly trans: TranslationBundle;
  }
}
