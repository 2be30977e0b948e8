/** The section "Nodes": for each a bar of what its memory is used for, and more when it is opened. */

import * as React from 'react';

import type { Part } from '../bytes';
import { inUse, segments, sparkline } from '../bytes';
import type { ITrans } from '../format';
import { formatBytes, formatDuration, fraction } from '../format';
import type { INode, IState } from '../tokens';
import { Hint } from './hint';
import { Icon } from './icons';
import { openMenu } from './row';
import type { IViewProps } from './types';
import { useNow, useSignal } from './use';

/** From these parts of the capacity on, the bar warns. */
const NEARLY_FULL = 0.8;
const FULL = 0.95;
/** A node that was silent for so many seconds may be gone. */
const SILENT = 30;
/** States that need no word where there is little room. */
const USUAL: ReadonlySet<string> = new Set(['running', 'local']);

export function NodesView(props: IViewProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.changed);
  const [open, setOpen] = React.useState<ReadonlySet<string>>(new Set());
  const state = model.state;
  if (state === null) {
    return <></>;
  }
  const toggle = (id: string): void => {
    const next = new Set(open);
    if (!next.delete(id)) {
      next.add(id);
    }
    setOpen(next);
  };
  return (
    <div className="wb-Nodes">
      <ul className="wb-Nodes-list" aria-label={trans.__('Nodes')}>
        {state.nodes.map(node => (
          <Node
            key={node.id}
            node={node}
            history={state.history?.[node.id] ?? []}
            local={node.id === state.store?.node}
            open={open.has(node.id)}
            toggle={() => toggle(node.id)}
            trans={trans}
          />
        ))}
      </ul>
      <Cluster cluster={state.cluster} trans={trans} />
    </div>
  );
}

interface INodeProps {
  readonly node: INode;
  readonly history: readonly (readonly [number, number])[];
  readonly local: boolean;
  readonly open: boolean;
  readonly toggle: () => void;
  readonly trans: ITrans;
}

function Node(props: INodeProps): JSX.Element {
  const { history, local, node, open, toggle, trans } = props;
  // As in the status bar: what is pooled goes when room is needed, and is a part of the bar of its own.
  const taken = inUse(node);
  const part = fraction(taken, node.capacity);
  const level = part >= FULL ? 'full' : part >= NEARLY_FULL ? 'nearly-full' : 'normal';
  const used = trans.__('%1 of %2', formatBytes(taken), formatBytes(node.capacity));
  const about = detail(node, local, trans);
  return (
    <li className="wb-Node" data-workbench-node={node.id} data-node-name={node.name} data-state={node.state}>
      <div className="wb-Node-line">
        <button
          className="wb-Node-toggle"
          type="button"
          aria-expanded={open}
          title={[about, node.address].filter(Boolean).join('\n')}
          onClick={toggle}
        >
          <span className="wb-Objects-caret" data-open={open}>
            <Icon name="chevron" size={12} />
          </span>
          <span className="wb-Node-name" dir="auto">
            {node.name}
          </span>
        </button>
        <span className="wb-Node-detail" data-usual={USUAL.has(node.state) || undefined}>
          {about}
        </span>
        <Sparkline points={history} capacity={node.capacity} trans={trans} />
        <span className="wb-Node-used" title={describeBytes(node, trans)}>
          {used}
        </span>
        <button
          className="wb-IconButton wb-Node-menu"
          type="button"
          aria-haspopup="menu"
          title={trans.__('Actions')}
          aria-label={trans.__('Actions on %1', node.name)}
          onClick={event => openMenu(event.currentTarget)}
        >
          <Icon name="menu" />
        </button>
      </div>
      <Bar node={node} level={level} used={used} trans={trans} />
      {open && <Details node={node} trans={trans} />}
    </li>
  );
}

function Bar({ level, node, trans, used }: { level: string; node: INode; trans: ITrans; used: string }): JSX.Element {
  const names = partNames(trans);
  const parts = segments(node);
  const spilled = node.spilled ?? 0;
  const texts = parts.map(({ nbytes, part }) => trans.__('%1: %2', names[part], formatBytes(nbytes)));
  if (spilled > 0) {
    texts.push(trans.__('%1: %2', trans.__('spilled to disk'), formatBytes(spilled)));
  }
  return (
    <div
      className="wb-Bar"
      role="meter"
      aria-label={trans.__('Shared memory used on %1', node.name)}
      aria-valuemin={0}
      aria-valuemax={node.capacity}
      aria-valuenow={Math.min(inUse(node), node.capacity)}
      aria-valuetext={[used, ...texts].join(', ')}
      title={texts.join('\n')}
      data-level={level}
    >
      {parts.map(({ part, share }) => (
        <span key={part} className="wb-Bar-part" data-part={part} style={{ width: `${(100 * share).toFixed(2)}%` }} />
      ))}
    </div>
  );
}

/** What the bytes of a node are: those in use, the pool, and how many there may be. */
export function describeBytes(node: INode, trans: ITrans): string {
  const capacity = formatBytes(node.capacity);
  const used = trans.__('%1 of %2 shared memory in use', formatBytes(inUse(node)), capacity);
  const pooled = node.pooled ?? 0;
  return pooled === 0
    ? used
    : trans.__(
        '%1; beside that %2 in the pool, ready for the next object or for whoever needs room',
        used,
        formatBytes(pooled)
      );
}

/** What the parts of a bar are called, and in which order they are listed. */
function partNames(trans: ITrans): Readonly<Record<Part, string>> {
  return {
    used: trans.__('used'),
    sealed: trans.__('objects'),
    cached: trans.__('cached, can be fetched again'),
    writing: trans.__('being written'),
    held: trans.__('deleted, still held'),
    pooled: trans.__('pool, ready for the next object'),
    other: trans.__('used by other programs')
  };
}

function Details({ node, trans }: { node: INode; trans: ITrans }): JSX.Element {
  const names = partNames(trans);
  const now = useNow(1);
  const parts = segments(node);
  const taken = parts.reduce((sum, { nbytes }) => sum + nbytes, 0);
  const free = node.free ?? Math.max(0, node.capacity - taken);
  return (
    <div className="wb-Node-details">
      <dl className="wb-Legend">
        {parts.map(({ nbytes, part }) => (
          <Line key={part} part={part} name={names[part]} nbytes={nbytes} />
        ))}
        <Line part="free" name={trans.__('free')} nbytes={free} />
        {(node.spilled ?? 0) > 0 && (
          <Line part="spilled" name={trans.__('spilled to disk')} nbytes={node.spilled ?? 0} />
        )}
      </dl>
      {node.heartbeat !== undefined && node.heartbeat !== null && (
        <div className="wb-Node-heartbeat" data-silent={now - node.heartbeat > SILENT || undefined}>
          {trans.__('Last heard of: %1 ago', formatDuration(Math.max(1, now - node.heartbeat), trans))}
        </div>
      )}
      {node.workers.length > 0 && (
        <ul className="wb-Node-workers" aria-label={trans.__('Workers of %1', node.name)}>
          {node.workers.map(worker => (
            <li key={worker}>{worker}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Line({ name, nbytes, part }: { name: string; nbytes: number; part: string }): JSX.Element {
  return (
    <div className="wb-Legend-line">
      <dt>
        <span className="wb-Legend-key" data-part={part} aria-hidden="true" />
        {name}
      </dt>
      <dd>{formatBytes(nbytes)}</dd>
    </div>
  );
}

/** How the used bytes went up and down lately. */
function Sparkline(props: { points: INodeProps['history']; capacity: number; trans: ITrans }): JSX.Element {
  const { capacity, points, trans } = props;
  const line = sparkline(points, capacity);
  if (line === '') {
    return <></>;
  }
  const minutes = Math.max(1, Math.round((points[points.length - 1][0] - points[0][0]) / 60));
  const label = trans._n('Used in the last minute', 'Used in the last %1 minutes', minutes);
  return (
    <svg className="wb-Sparkline" viewBox="0 0 1 1" preserveAspectRatio="none" role="img" aria-label={label}>
      <title>{label}</title>
      <polyline points={line} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}

/** What a node is, in a word or two. */
function detail(node: INode, local: boolean, trans: ITrans): string {
  switch (node.state) {
    case 'lost':
      return trans.__('lost');
    case 'local':
      return trans.__('this host');
    case 'draining':
      return trans.__('draining');
    case 'drained':
      return trans.__('drained');
    default: {
      const workers = trans._n('%1 worker', '%1 workers', node.workers.length);
      return local ? trans.__('this host, %1', workers) : workers;
    }
  }
}

/** Why there are no other nodes, and what to do about it. */
function Cluster({ cluster, trans }: { cluster: IState['cluster']; trans: ITrans }): JSX.Element {
  if (cluster.state === 'connected') {
    return <></>;
  }
  if (cluster.state === 'looking') {
    return <Hint trans={trans}>{trans.__('Looking for a cluster…')}</Hint>;
  }
  if (cluster.state === 'unreachable') {
    return (
      <Hint kind="warning" title={trans.__('The cluster does not answer')} code="wb.LocalCluster()" trans={trans}>
        {cluster.message || trans.__('The Dask cluster at %1 does not answer.', cluster.address ?? '?')}{' '}
        {trans.__('Objects of this host can still be used. The panel goes on trying; or start another one:')}
      </Hint>
    );
  }
  return (
    <Hint code="wb.LocalCluster()" trans={trans}>
      {trans.__('No Dask cluster on this host: objects stay here. Start one to move and replicate them.')}
    </Hint>
  );
}
