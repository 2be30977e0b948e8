/** The columns of the table: what they are called, how wide they are, and what a cell shows. */

import * as React from 'react';

import { missingLabel, missingOf } from '../completeness';
import type { ITrans } from '../format';
import {
  formatBytes,
  formatDtypes,
  formatDuration,
  formatShape,
  fraction,
  holderLabel,
  isolate,
  objectLabel,
  typeLabel
} from '../format';
import type { Column, IHolder, IObject, IOperation, IReplica } from '../tokens';
import { CommandIDs } from '../tokens';
import { Icon, KindIcon } from './icons';
import { Missing } from './missing';
import type { IViewProps } from './types';

export function columnLabels(trans: ITrans): Readonly<Record<Column, string>> {
  return {
    name: trans.__('Name'),
    kind: trans.__('Kind'),
    shape: trans.__('Shape'),
    nbytes: trans.__('Size'),
    nodes: trans.__('Nodes'),
    holders: trans.__('Held by'),
    age: trans.__('Age'),
    last_used: trans.__('Last used'),
    pinned: trans.__('Pinned'),
    ttl: trans.__('Expires'),
    tags: trans.__('Tags')
  };
}

export const COLUMN_WIDTHS: Readonly<Record<Column, string>> = {
  name: 'minmax(130px, 2fr)',
  kind: 'minmax(82px, 0.8fr)',
  shape: 'minmax(108px, 1fr)',
  nbytes: '72px',
  nodes: 'minmax(124px, 1.4fr)',
  holders: 'minmax(92px, 1fr)',
  age: '64px',
  last_used: '76px',
  pinned: '60px',
  ttl: '64px',
  tags: 'minmax(88px, 1fr)'
};

/** What people put first when they sort: names from A, but the largest size. */
export const DESCENDING_FIRST: ReadonlySet<Column> = new Set(['shape', 'nbytes', 'nodes', 'holders', 'pinned']);

/** Columns of numbers stand to the right. */
export const TO_THE_RIGHT: ReadonlySet<Column> = new Set(['nbytes', 'age', 'last_used', 'ttl']);

export interface ICellProps extends IViewProps {
  readonly object: IObject;
  readonly narrow: boolean;
  /** Of the table, in pixels. */
  readonly width: number;
  readonly now: number;
  readonly operation: IOperation | undefined;
}

export function CellContent({ column, ...props }: ICellProps & { column: Column }): JSX.Element {
  const { now, object, trans } = props;
  switch (column) {
    case 'name':
      return <Name {...props} />;
    case 'kind':
      return (
        <Marked object={object} marked={props.narrow} trans={trans}>
          <Text>{typeLabel(object)}</Text>
        </Marked>
      );
    case 'shape':
      return (
        <Marked object={object} marked={!props.narrow} trans={trans}>
          <Text title={formatDtypes(object.dtypes)}>{formatShape(object.shape)}</Text>
        </Marked>
      );
    case 'nbytes':
      return <Size object={object} trans={trans} />;
    case 'nodes':
      return <Nodes {...props} />;
    case 'holders':
      return <Holders {...props} />;
    case 'age':
      return <Text title={formatTime(object.created)}>{formatDuration(now - object.created, trans)}</Text>;
    case 'last_used':
      return <Text title={formatTime(object.last_used)}>{formatDuration(now - object.last_used, trans)}</Text>;
    case 'pinned':
      return <Text>{object.pinned ? trans.__('yes') : ''}</Text>;
    case 'ttl':
      return <Text>{object.ttl === null ? '' : formatDuration(object.created + object.ttl - now, trans)}</Text>;
    case 'tags':
      return (
        <Text>
          {Object.entries(object.tags ?? {})
            .map(([key, value]) => `${key}=${value}`)
            .join(' ')}
        </Text>
      );
  }
}

/** What a dataset lacks before what a cell says otherwise, which is left out where there is no room: half of it would say something else. */
function Marked(props: { object: IObject; marked: boolean; trans: ITrans; children: JSX.Element }): JSX.Element {
  const { children, marked, object, trans } = props;
  if (!marked || missingOf(object) === null) {
    return children;
  }
  return (
    <span className="wb-Cell-marked">
      <Missing object={object} part="words" trans={trans} />
      {children}
    </span>
  );
}

function Text({ children, title }: { children: React.ReactNode; title?: string }): JSX.Element {
  return (
    <span className="wb-Cell-text" title={title || undefined}>
      {children}
    </span>
  );
}

function formatTime(seconds: number): string {
  return Number.isFinite(seconds) ? new Date(1000 * seconds).toLocaleString() : '';
}

function Name({ object, trans }: ICellProps): JSX.Element {
  return (
    <>
      <KindIcon kind={object.kind} />
      <span className="wb-Cell-text" dir="auto" data-unnamed={object.name === null || undefined}>
        {objectLabel(object)}
      </span>
      <Missing object={object} part="sign" trans={trans} />
      {object.pinned && (
        <span className="wb-Cell-pin" role="img" aria-label={trans.__('pinned')} title={trans.__('Pinned in memory')}>
          <Icon name="pin" size={12} />
        </span>
      )}
    </>
  );
}

/** Bytes of its own; what it shares with others is in the tooltip, and a `+` says that there are such. */
function Size({ object, trans }: { object: IObject; trans: ITrans }): JSX.Element {
  const own = formatBytes(object.nbytes);
  return object.shared_nbytes > 0 ? (
    <Text title={trans.__('%1 of its own, and %2 shared with other objects', own, formatBytes(object.shared_nbytes))}>
      {own}
      <span className="wb-Cell-shared">{trans.__('+%1', formatBytes(object.shared_nbytes))}</span>
    </Text>
  ) : (
    <Text>{own}</Text>
  );
}

/** So many nodes are named in a cell; the tooltip names all. In a narrow panel, what fits beside the kind. */
const NAMED = 3;
/** Pixels: of a letter and a chip's rim, about; and what a narrow row has beside kind and nodes. */
const LETTER = 6;
const RIM = 18;
const BESIDE = 72;

function named(replicas: readonly IReplica[], room: number): number {
  let left = room;
  const fitting = replicas.findIndex(({ node_name }) => (left -= LETTER * node_name.length + RIM) < 0);
  return fitting < 0 ? replicas.length : Math.max(1, fitting);
}

function Nodes(props: ICellProps): JSX.Element {
  const { narrow, object, operation, trans, width } = props;
  const missing = missingOf(object);
  const beside =
    missing === null ? LETTER * typeLabel(object).length : LETTER * missingLabel(missing, trans).length + RIM;
  const most = narrow ? named(object.replicas, width - BESIDE - beside) : NAMED + 1;
  const room = Math.max(1, Math.min(most, NAMED + 1) - (operation === undefined ? 0 : 1));
  const replicas = object.replicas.slice(0, room);
  const rest = object.replicas.slice(replicas.length);
  return (
    <>
      {replicas.map(replica => (
        <Chip key={replica.node} replica={replica} trans={trans} />
      ))}
      {rest.length > 0 && (
        <span className="wb-Chip" data-state="more" title={rest.map(({ node_name }) => node_name).join('\n')}>
          {trans.__('+%1', rest.length)}
        </span>
      )}
      {operation && <Arriving {...props} operation={operation} />}
    </>
  );
}

function stateLabel(state: string, trans: ITrans): string {
  const labels: Readonly<Record<string, string>> = {
    memory: trans.__('in memory'),
    disk: trans.__('on disk'),
    cached: trans.__('cached'),
    lost: trans.__('on a lost node, where no worker runs')
  };
  return labels[state] ?? state;
}

/** Where a replica is, and in which state. */
export function describeReplica({ nbytes, node_name, state }: IReplica, trans: ITrans): string {
  return trans.__('%1: %2, %3', isolate(node_name), stateLabel(state, trans), formatBytes(nbytes));
}

function Chip({ replica, trans }: { replica: IReplica; trans: ITrans }): JSX.Element {
  const state = stateLabel(replica.state, trans);
  return (
    <span
      className="wb-Chip"
      data-node={replica.node}
      data-state={replica.state}
      title={describeReplica(replica, trans)}
    >
      {replica.node_name}
      {replica.state !== 'memory' && <span className="wb-VisuallyHidden">{` (${state})`}</span>}
    </span>
  );
}

/** The replica that a running operation makes, with how far it is. */
function Arriving({ model, operation, trans }: ICellProps & { operation: IOperation }): JSX.Element {
  const percent = Math.floor(100 * fraction(operation.done_nbytes, operation.total_nbytes));
  const names = operation.to
    .map(id => model.state?.nodes.find(node => node.id === id)?.name ?? id)
    .map(isolate)
    .join(', ');
  const label = operation.verb === 'move' ? trans.__('Moving to %1', names) : trans.__('Replicating to %1', names);
  return (
    <span
      className="wb-Chip"
      data-state="arriving"
      role="progressbar"
      aria-label={label}
      aria-valuenow={percent}
      aria-valuemin={0}
      aria-valuemax={100}
      title={label}
      style={{ '--wb-part': `${percent}%` } as React.CSSProperties}
    >
      {trans.__('%1 %2 %', names, percent)}
    </span>
  );
}

function Holders({ commands, object, trans }: ICellProps): JSX.Element {
  const { holders } = object;
  if (holders.length === 0) {
    return <></>;
  }
  // A notebook that can be opened stands first.
  const first = holders.find(({ path }) => path) ?? holders[0];
  return (
    <span className="wb-Cell-text" title={holders.map(holder => describeHolder(holder, trans)).join('\n')}>
      {first.path ? (
        <button
          className="wb-Link"
          type="button"
          tabIndex={-1}
          onClick={() => void commands.execute(CommandIDs.openHolder, { path: first.path ?? '' })}
        >
          {holderLabel(first)}
        </button>
      ) : (
        holderLabel(first)
      )}
      {holders.length > 1 && <span className="wb-Cell-shared">{trans.__('+%1', holders.length - 1)}</span>}
    </span>
  );
}

/** Who holds, and what in it does. */
export function describeHolder(holder: IHolder, trans: ITrans): string {
  const who = trans.__('%1 (%2 %3)', isolate(holder.label), holder.kind, holder.pid);
  return holder.cause ? trans.__('%1: %2', who, isolate(holder.cause)) : who;
}
