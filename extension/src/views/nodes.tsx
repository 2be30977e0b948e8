/** The section "Nodes": a bar for each, with what is used of its capacity. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { formatBytes, fraction } from '../format';
import type { INode, IState, IWorkbenchModel } from '../tokens';
import { Hint } from './hint';

interface IProps {
  readonly model: IWorkbenchModel;
  readonly trans: TranslationBundle;
}

/** From these parts of the capacity on, the bar warns. */
const NEARLY_FULL = 0.8;
const FULL = 0.95;

export function NodesView({ model, trans }: IProps): JSX.Element {
  return (
    <UseSignal signal={model.changed}>
      {() =>
        model.state === null ? (
          <></>
        ) : (
          <div className="wb-Nodes">
            <ul className="wb-Nodes-list" aria-label={trans.__('Nodes')}>
              {model.state.nodes.map(node => (
                <Node key={node.id} node={node} local={node.id === model.state?.store?.node} trans={trans} />
              ))}
            </ul>
            <Cluster cluster={model.state.cluster} trans={trans} />
          </div>
        )
      }
    </UseSignal>
  );
}

function Node({ node, local, trans }: { node: INode; local: boolean; trans: TranslationBundle }): JSX.Element {
  const part = fraction(node.used, node.capacity);
  const level = part >= FULL ? 'full' : part >= NEARLY_FULL ? 'nearly-full' : 'normal';
  const used = node.pooled
    ? trans.__('%1 of %2 (pool: %3)', formatBytes(node.used), formatBytes(node.capacity), formatBytes(node.pooled))
    : trans.__('%1 of %2', formatBytes(node.used), formatBytes(node.capacity));
  return (
    <li className="wb-Node" data-workbench-node={node.id} data-state={node.state} title={node.address || undefined}>
      <div className="wb-Node-line">
        <span className="wb-Node-name">{node.name}</span>
        <span className="wb-Node-detail">{detail(node, local, trans)}</span>
        <span className="wb-Node-used">{used}</span>
      </div>
      <div
        className="wb-Bar"
        role="meter"
        aria-label={trans.__('Shared memory used on %1', node.name)}
        aria-valuemin={0}
        aria-valuemax={node.capacity}
        aria-valuenow={node.used}
        aria-valuetext={used}
        data-level={level}
      >
        {part > 0 && <div className="wb-Bar-used" style={{ width: `${(100 * part).toFixed(2)}%` }} />}
      </div>
    </li>
  );
}

/** What a node is, in a word or two. */
function detail(node: INode, local: boolean, trans: TranslationBundle): string {
  if (node.state === 'lost') {
    return trans.__('lost');
  }
  if (node.state === 'local') {
    return trans.__('this host');
  }
  const workers = trans._n('%1 worker', '%1 workers', node.workers.length);
  return local ? trans.__('this host, %1', workers) : workers;
}

/** Why there are no other nodes, and what to do about it. */
function Cluster({ cluster, trans }: { cluster: IState['cluster']; trans: TranslationBundle }): JSX.Element {
  if (cluster.state === 'connected') {
    return <></>;
  }
  if (cluster.state === 'unreachable') {
    return (
      <Hint kind="warning" trans={trans}>
        {cluster.message || trans.__('The Dask cluster at %1 does not answer.', cluster.address ?? '?')}
      </Hint>
    );
  }
  return (
    <Hint code="wb.LocalCluster()" trans={trans}>
      {trans.__('No Dask cluster on this host: objects stay here. Start one to move and replicate them.')}
    </Hint>
  );
}
