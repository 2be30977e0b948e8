/** The panel's own icons, and which one stands for which kind of object. */

import { LabIcon, spreadsheetIcon } from '@jupyterlab/ui-components';

import arraySvg from '../style/icons/array.svg';
import datasetSvg from '../style/icons/dataset.svg';
import objectSvg from '../style/icons/object.svg';
import workbenchSvg from '../style/icons/workbench.svg';

export const workbenchIcon = new LabIcon({ name: 'shm-workbench:workbench', svgstr: workbenchSvg });
const arrayIcon = new LabIcon({ name: 'shm-workbench:array', svgstr: arraySvg });
const datasetIcon = new LabIcon({ name: 'shm-workbench:dataset', svgstr: datasetSvg });
const objectIcon = new LabIcon({ name: 'shm-workbench:object', svgstr: objectSvg });

const ICONS: Readonly<Record<string, LabIcon>> = {
  array: arrayIcon,
  sparse: arrayIcon,
  dataset: datasetIcon,
  dataframe: spreadsheetIcon,
  series: spreadsheetIcon,
  index: spreadsheetIcon,
  table: spreadsheetIcon,
  batch: spreadsheetIcon,
  polars: spreadsheetIcon
};

/** The icon for a kind of object. */
export function kindIcon(kind: string): LabIcon {
  return ICONS[kind] ?? objectIcon;
}
