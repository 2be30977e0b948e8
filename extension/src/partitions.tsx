/** The partitions of a dataset and their nodes, as a tab of the main area that follows what changes. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { isolate, objectLabel } from './format';
import { workbenchIcon } from './icons';
import type { IObject, IWorkbenchModel } from './tokens';
import { MatrixView } from './views/matrix';
import { useSignal } from './views/use';

/** Make the tab for a dataset; whoever calls adds it to the shell. */
export function partitionsWidget(object: IObject, model: IWorkbenchModel, trans: TranslationBundle): MainAreaWidget {
  const content = ReactWidget.create(<Following object={object} model={model} trans={trans} />);
  content.addClass('wb-MatrixHost');
  const widget = new MainAreaWidget({ content });
  widget.id = `workbench-partitions-${object.id}`;
  widget.title.label = trans.__('Partitions of %1', isolate(objectLabel(object)));
  widget.title.icon = workbenchIcon;
  widget.title.closable = true;
  return widget;
}

function Following(props: { object: IObject; model: IWorkbenchModel; trans: TranslationBundle }): JSX.Element {
  const { model, trans } = props;
  useSignal(model.changed);
  const object = model.find(props.object.id) ?? props.object;
  return (
    <MatrixView
      api={model.api}
      object={object.id}
      name={objectLabel(object)}
      version={JSON.stringify(object.replicas)}
      nodes={model.state?.nodes ?? []}
      trans={trans}
    />
  );
}
