/** The icons of the panel's tab, of its commands, and of the kinds of objects. Views have their own: `views/icons.tsx`. */

import { LabIcon, spreadsheetIcon } from '@jupyterlab/ui-components';

import arraySvg from '../style/icons/array.svg';
import datasetSvg from '../style/icons/dataset.svg';
import moveSvg from '../style/icons/move.svg';
import objectSvg from '../style/icons/object.svg';
import pinSvg from '../style/icons/pin.svg';
import replicateSvg from '../style/icons/replicate.svg';
import workbenchSvg from '../style/icons/workbench.svg';

export const workbenchIcon = new LabIcon({ name: 'shm-workbench:workbench', svgstr: workbenchSvg });
export const moveIcon = new LabIcon({ name: 'shm-workbench:move', svgstr: moveSvg });
export const pinIcon = new LabIcon({ name: 'shm-workbench:pin', svgstr: pinSvg });
export const replicateIcon = new LabIcon({ name: 'shm-workbench:replicate', svgstr: replicateSvg });
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
