/**
 * The object browser as an anywidget: the entry of a bundle of its own, with React, for any front end that shows widgets.
 *
 * Covers when the kernel is asked: while the widget is on the screen, and gently, because it is the kernel. Read next:
 * `browser.tsx`, `transport.ts`.
 */

import type { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import * as React from 'react';
import { createRoot } from 'react-dom/client';

import { WorkbenchApi } from '../api';
import { WorkbenchModel } from '../model';
import { PreviewApi } from '../preview/api';
import { Browser } from './browser';
import type { IWidgetModel } from './transport';
import { KernelTransport } from './transport';
import { english } from './words';

/** Milliseconds between two questions. */
const GENTLY = 3000;

export function render({ el, model: widget }: { el: HTMLElement; model: IWidgetModel }): () => void {
  const transport = new KernelTransport(widget);
  const settings = { baseUrl: '', transport } as unknown as ServerConnection.ISettings;
  const model = new WorkbenchModel({ api: new WorkbenchApi(settings), interval: GENTLY, fastInterval: 500 });
  let looking: IDisposable | null = null;
  const look = (entries: readonly IntersectionObserverEntry[]): void => {
    if (entries[entries.length - 1].isIntersecting) {
      looking ??= model.look();
    } else {
      looking?.dispose();
      looking = null;
    }
  };
  const observer = new IntersectionObserver(look);
  const root = document.createElement('div');
  root.className = 'wb-Browser';
  // Keys are for the rows of the browser; the notebook's own single keys would delete its cell.
  root.dataset.lmSuppressShortcuts = 'true';
  if (getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim() === '') {
    root.classList.add('wb-mod-standalone');
  }
  el.append(root);
  const shown = createRoot(root);
  shown.render(<Browser model={model} previews={new PreviewApi(settings)} transport={transport} trans={english} />);
  observer.observe(root);
  return () => {
    observer.disconnect();
    looking?.dispose();
    shown.unmount();
    model.dispose();
    transport.dispose();
  };
}

export default { render };
