/**
 * Dragging objects: onto a node to move or, with Ctrl or Shift, to replicate them; into a notebook for a cell that fetches them.
 *
 * Covers what is carried and where it may fall; every drag has a command that does the same from the keyboard.
 */

import type { INotebookTracker } from '@jupyterlab/notebook';
import { MimeData } from '@lumino/coreutils';
import { DisposableDelegate } from '@lumino/disposable';
import type { IDisposable } from '@lumino/disposable';
import { Drag } from '@lumino/dragdrop';

import { fetchCode } from './code';
import type { ITrans } from './format';
import { objectLabel } from './format';
import type { IObject, IWorkbenchModel } from './tokens';

export const OBJECTS_MIME = 'application/vnd.workbench.objects+json';
const CELLS_MIME = 'application/vnd.jupyter.cells';

/** The language of a notebook's kernel, as it is known. */
export function languageOf(notebook: { model: { defaultKernelLanguage: string } | null } | undefined): string {
  return notebook?.model?.defaultKernelLanguage || 'python';
}

export interface IDragOptions {
  readonly model: IWorkbenchModel;
  readonly notebooks: INotebookTracker | null;
  readonly trans: ITrans;
}

/** Begin to drag objects from where the pointer is. */
export function startDrag(
  ids: readonly string[],
  event: { clientX: number; clientY: number },
  options: IDragOptions
): Promise<void> {
  const { model, notebooks, trans } = options;
  const objects = ids.map(id => model.find(id)).filter(object => object !== undefined);
  if (objects.length === 0) {
    return Promise.resolve();
  }
  const mimeData = new MimeData();
  mimeData.setData(OBJECTS_MIME, [...ids]);
  carryCode(mimeData, objects, languageOf(notebooks?.currentWidget ?? undefined));
  // The cell is in the language of the notebook that it falls into.
  const onEnter = (entered: Event): void => {
    const panel = notebooks?.find(candidate => candidate.node.contains(entered.target as Node));
    if (panel) {
      carryCode(mimeData, objects, languageOf(panel));
    }
  };
  document.addEventListener('lm-dragenter', onEnter, true);
  const drag = new Drag({
    mimeData,
    dragImage: dragImage(objects, trans),
    proposedAction: 'copy',
    supportedActions: 'copy',
    source: model
  });
  return drag.start(event.clientX, event.clientY).then(() => {
    document.removeEventListener('lm-dragenter', onEnter, true);
    drag.dispose();
  });
}

function carryCode(mimeData: MimeData, objects: readonly IObject[], language: string): void {
  const source = fetchCode(objects, language);
  mimeData.setData('text/plain', source);
  mimeData.setData(CELLS_MIME, [{ cell_type: 'code', execution_count: null, metadata: {}, outputs: [], source }]);
}

function dragImage(objects: readonly IObject[], trans: ITrans): HTMLElement {
  const image = document.createElement('div');
  image.className = 'wb-DragImage';
  image.textContent =
    objects.length === 1 ? objectLabel(objects[0]) : trans._n('%1 object', '%1 objects', objects.length);
  return image;
}

/** Let objects fall onto the nodes in an element. */
export function acceptDrops(
  element: HTMLElement,
  drop: (verb: 'move' | 'replicate', objects: string[], node: string) => void
): IDisposable {
  let marked: HTMLElement | null = null;
  const mark = (node: HTMLElement | null, verb: string): void => {
    if (marked !== node) {
      marked?.removeAttribute('data-drop');
    }
    node?.setAttribute('data-drop', verb);
    marked = node;
  };
  const nodeOf = (event: Event): HTMLElement | null => {
    const node = (event.target as HTMLElement).closest<HTMLElement>('[data-workbench-node]');
    return node?.dataset.state === 'running' ? node : null;
  };
  const listener = (event: Event): void => {
    const dragged = event as Drag.Event;
    const node = nodeOf(event);
    if (!dragged.mimeData.hasData(OBJECTS_MIME)) {
      return;
    }
    const verb = dragged.ctrlKey || dragged.shiftKey || dragged.metaKey ? 'replicate' : 'move';
    event.preventDefault();
    event.stopPropagation();
    if (event.type === 'lm-dragleave') {
      mark(null, verb);
      return;
    }
    dragged.dropAction = node === null ? 'none' : dragged.proposedAction;
    mark(event.type === 'lm-drop' ? null : node, verb);
    if (event.type === 'lm-drop' && node !== null) {
      drop(verb, dragged.mimeData.getData(OBJECTS_MIME) as string[], node.dataset.workbenchNode ?? '');
    }
  };
  const types = ['lm-dragenter', 'lm-dragleave', 'lm-dragover', 'lm-drop'];
  types.forEach(type => element.addEventListener(type, listener));
  return new DisposableDelegate(() => types.forEach(type => element.removeEventListener(type, listener)));
}
