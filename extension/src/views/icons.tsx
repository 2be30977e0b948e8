/** Small pictures that take the colour of the text, for views that are shown within JupyterLab and elsewhere. */

import * as React from 'react';

const PATHS = {
  add: 'M12 4v7H5v2h7v7h2v-7h5v-2h-5V4z',
  array:
    'M3 3h5v5H3zM9.5 3h5v5h-5zM16 3h5v5h-5zM3 9.5h5v5H3zM16 9.5h5v5h-5zM3 16h5v5H3zM9.5 16h5v5h-5zM16 16h5v5h-5zM9.5 9.5h5v5h-5z',
  chevron: 'M9 5l7 7-7 7-1.5-1.5L13 12 7.5 6.5z',
  close: 'M6.4 5L12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6 10.6 12 5 6.4z',
  copy: 'M16 1H4a2 2 0 0 0-2 2v14h2V3h12zm3 4H8a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2V7a2 2 0 0 0-2-2zm0 16H8V7h11z',
  dataset: 'M7 3h14v11h-2V5H7zM3 7h14v14H3zm2 2v3h4V9zm6 0v3h4V9zm-6 5v3h4v-3zm6 0v3h4v-3z',
  down: 'M5 8h14l-7 8z',
  insert: 'M3 4h18v6H3zm2 2v2h14V6zm6 6h2v3h3v2h-3v3h-2v-3H8v-2h3z',
  menu: 'M6 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4zm6 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4zm6 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4z',
  object: 'M12 2l9 5v10l-9 5-9-5V7zm0 2.3L6.3 7.5 12 10.7l5.7-3.2zM5 9.2v6.6l6 3.3v-6.6zm14 0l-6 3.3v6.6l6-3.3z',
  options: 'M3 5h18v2H3zm3 6h12v2H6zm4 6h4v2h-4z',
  pause: 'M6 5h4v14H6zm8 0h4v14h-4z',
  pin: 'M8 2h8v2l-1 1v6l3 3v2h-5v6h-2v-6H6v-2l3-3V5L8 4z',
  play: 'M7 4l13 8-13 8z',
  search: 'M10 3a7 7 0 1 0 4.2 12.6l5.1 5.1 1.4-1.4-5.1-5.1A7 7 0 0 0 10 3zm0 2a5 5 0 1 1 0 10 5 5 0 0 1 0-10z',
  table: 'M3 4h18v16H3zm2 5v3h4V9zm6 0v3h8V9zm-6 5v4h4v-4zm6 0v4h8v-4z',
  up: 'M5 16h14l-7-8z',
  warning: 'M12 2l11 19H1zm-1 7v6h2V9zm0 7.5v2h2v-2z'
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg className="wb-Icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path fill="currentColor" fillRule="evenodd" d={PATHS[name]} />
    </svg>
  );
}

const KINDS: Readonly<Record<string, IconName>> = {
  array: 'array',
  sparse: 'array',
  dataset: 'dataset',
  dataframe: 'table',
  series: 'table',
  index: 'table',
  table: 'table',
  batch: 'table',
  polars: 'table'
};

/** The picture of a kind of object. */
export function KindIcon({ kind }: { kind: string }): JSX.Element {
  const name = KINDS[kind] ?? 'object';
  return (
    <span className="wb-Cell-icon" data-icon={name}>
      <Icon name={name} />
    </span>
  );
}
