/**
 * What is asked before an action: on which node, under which name, and whether it is meant.
 *
 * Covers questions only; the actions are in `actions.ts`. Names come from users: they are set as text, never as HTML.
 */

import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import { formatBytes, isolate, objectLabel } from './format';
import type { IPlanSum } from './plans';
import type { INode, IObject } from './tokens';
import { ChoiceView } from './views/plan';

export interface IQuestion {
  readonly title: string;
  readonly text: string;
  readonly label: string;
  readonly accept: string;
  readonly nodes: readonly INode[];
  readonly preselected?: string;
  readonly plan: (node: string) => Promise<IPlanSum>;
}

/** The body of a dialog that asks for a node, and tells what would happen with it. */
class NodeChoice extends ReactWidget implements Dialog.IBodyWidget<string> {
  constructor(
    private readonly _question: IQuestion,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('wb-NodeChoice');
    this._node = _question.preselected ?? _question.nodes[0]?.id ?? '';
  }

  getValue(): string {
    return this._node;
  }

  protected render(): JSX.Element {
    return (
      <ChoiceView
        {...this._question}
        chosen={this._node}
        onChange={node => {
          this._node = node;
        }}
        trans={this._trans}
      />
    );
  }

  private _node: string;
}

/** Ask for a node; null when the user thinks better of it. */
export async function askNode(question: IQuestion, trans: TranslationBundle): Promise<string | null> {
  const result = await showDialog<string>({
    title: question.title,
    body: new NodeChoice(question, trans),
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.okButton({ label: question.accept })],
    focusNodeSelector: 'select'
  });
  return result.button.accept ? result.value : null;
}

/** Ask for a line of text; null when there is none. */
export async function askText(
  question: { title: string; label: string; text: string; accept: string; placeholder?: string },
  trans: TranslationBundle
): Promise<string | null> {
  const result = await InputDialog.getText({
    title: question.title,
    label: question.label,
    text: question.text,
    placeholder: question.placeholder,
    okLabel: question.accept,
    cancelLabel: trans.__('Cancel')
  });
  return result.button.accept && result.value ? result.value : null;
}

/** Ask whether objects shall be deleted everywhere. */
export function confirmDelete(objects: readonly IObject[], trans: TranslationBundle): Promise<boolean> {
  const nbytes = formatBytes(objects.reduce((sum, object) => sum + object.nbytes, 0));
  const count = new Set(objects.flatMap(object => object.holders.map(holder => holder.pid))).size;
  const text =
    objects.length === 1
      ? trans.__('“%1” (%2) will be gone from every node.', isolate(objectLabel(objects[0])), nbytes)
      : trans.__('%1 objects (%2) will be gone from every node: %3', objects.length, nbytes, labels(objects, trans));
  const held =
    count > 0
      ? trans._n(
          '%1 process has it mapped: it keeps what it has, and the memory is free when it lets go.',
          '%1 processes have it mapped: they keep what they have, and the memory is free when they let go.',
          count
        )
      : '';
  const title = trans._n('Delete Object', 'Delete %1 Objects', objects.length);
  return confirm(title, [text, held], trans.__('Delete'), trans);
}

/** Ask whether all objects without a name shall go. */
export function confirmDeleteUnnamed(count: number, nbytes: number, trans: TranslationBundle): Promise<boolean> {
  const text = trans._n(
    '%1 object without a name, %2 in all, will be gone from every node.',
    '%1 objects without a name, %2 in all, will be gone from every node.',
    count,
    formatBytes(nbytes)
  );
  const accept = trans.__('Delete All');
  return confirm(trans.__('Delete All Unnamed Objects'), [text, trans.__('Pinned ones stay.')], accept, trans);
}

/** Ask once more before last replicas go. */
export function confirmLastReplica(
  objects: readonly IObject[],
  node: string,
  trans: TranslationBundle
): Promise<boolean> {
  const text =
    objects.length === 1
      ? objects[0].kind === 'dataset'
        ? trans.__(
            'Some partitions of “%1” are on no other node. Dropping them from %2 destroys them, and without them the dataset cannot be read.',
            isolate(objectLabel(objects[0])),
            node
          )
        : trans.__(
            'This is the last replica of “%1”: there is no other on any node. Dropping it from %2 destroys the object.',
            isolate(objectLabel(objects[0])),
            node
          )
      : trans.__(
          'These are the last replicas of %1 objects. Dropping them from %2 destroys the objects: %3',
          objects.length,
          node,
          labels(objects, trans)
        );
  const accept = trans._n('Destroy Object', 'Destroy %1 Objects', objects.length);
  return confirm(trans.__('Drop the Last Replica?'), [text], accept, trans);
}

/** Ask whether a node shall be emptied. */
export function confirmDrain(node: INode, plan: IPlanSum | null, trans: TranslationBundle): Promise<boolean> {
  const text = trans.__(
    'What only %1 has is brought to other nodes, and it gets no more replicas, so that it can go away.',
    isolate(node.name)
  );
  const size = plan === null ? '' : trans.__('%1 travel.', formatBytes(plan.nbytes));
  return confirm(trans.__('Drain Node'), [text, size, ...(plan?.refused ?? [])], trans.__('Drain'), trans);
}

function labels(objects: readonly IObject[], trans: TranslationBundle): string {
  const some = objects.slice(0, 5).map(object => `“${isolate(objectLabel(object))}”`);
  const rest = objects.length - some.length;
  return rest > 0 ? trans.__('%1 and %2 more', some.join(', '), rest) : some.join(', ');
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
