/**
 * What is asked before an action: on which node, and whether it is meant.
 *
 * Covers questions only; the actions are in `commands.ts`. Names come from users: they are set as text, never as HTML.
 */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { formatBytes, objectLabel } from './format';
import type { INode, IObject } from './tokens';

/** The body of a dialog that asks for a node. */
export class NodeChoice extends Widget implements Dialog.IBodyWidget<string> {
  constructor(options: NodeChoice.IOptions) {
    super();
    this.addClass('wb-NodeChoice');
    const text = document.createElement('p');
    text.textContent = options.text;
    const label = document.createElement('label');
    label.textContent = options.label;
    this._select = document.createElement('select');
    this._select.className = 'jp-mod-styled';
    for (const node of options.nodes) {
      const option = document.createElement('option');
      option.value = node.id;
      option.textContent = describe(node, options.trans);
      this._select.append(option);
    }
    this._select.value = options.preselected ?? options.nodes[0]?.id ?? '';
    label.append(this._select);
    this.node.append(text, label);
  }

  getValue(): string {
    return this._select.value;
  }

  private readonly _select: HTMLSelectElement;
}

export namespace NodeChoice {
  export interface IOptions {
    readonly text: string;
    readonly label: string;
    readonly nodes: readonly INode[];
    readonly preselected?: string;
    readonly trans: TranslationBundle;
  }
}

/** A node's name, and what is free there where that is known. */
function describe(node: INode, trans: TranslationBundle): string {
  const free = Math.max(0, node.capacity - node.used);
  return node.capacity > 0 ? trans.__('%1 (%2 free)', node.name, formatBytes(free)) : node.name;
}

export interface IQuestion {
  readonly title: string;
  readonly text: string;
  readonly label: string;
  readonly accept: string;
  readonly nodes: readonly INode[];
  readonly preselected?: string;
}

/** Ask for a node; null when the user thinks better of it. */
export async function askNode(question: IQuestion, trans: TranslationBundle): Promise<string | null> {
  const result = await showDialog<string>({
    title: question.title,
    body: new NodeChoice({ ...question, trans }),
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.okButton({ label: question.accept })],
    focusNodeSelector: 'select'
  });
  return result.button.accept ? result.value : null;
}

/** Ask whether an object shall be deleted everywhere. */
export async function confirmDelete(object: IObject, trans: TranslationBundle): Promise<boolean> {
  const count = object.holders.length;
  const text = trans.__('“%1” (%2) will be gone from every node.', objectLabel(object), formatBytes(object.nbytes));
  const held =
    count > 0
      ? trans._n(
          '%1 process has it mapped: it keeps what it has, and the memory is free when it lets go.',
          '%1 processes have it mapped: they keep what they have, and the memory is free when they let go.',
          count
        )
      : '';
  return confirm(trans.__('Delete Object'), [text, held], trans.__('Delete'), trans);
}

/** Ask once more before the last replica goes. */
export async function confirmLastReplica(object: IObject, node: string, trans: TranslationBundle): Promise<boolean> {
  const text = trans.__(
    'This is the last replica of “%1”: there is no other on any node. Dropping it from %2 destroys the object.',
    objectLabel(object),
    node
  );
  return confirm(trans.__('Drop the Last Replica?'), [text], trans.__('Destroy Object'), trans);
}

async function confirm(title: string, texts: string[], accept: string, trans: TranslationBundle): Promise<boolean> {
  const body = new Widget();
  body.addClass('wb-Confirm');
  for (const text of texts.filter(Boolean)) {
    const paragraph = document.createElement('p');
    paragraph.textContent = text;
    body.node.append(paragraph);
  }
  const result = await showDialog({
    title,
    body,
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: accept })],
    defaultButton: 0
  });
  return result.button.accept;
}
