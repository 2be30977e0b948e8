/** Partitions of a dataset and nodes: which node has which partition, and in which state. */

import * as React from 'react';

import type { ITrans } from '../format';
import { formatBytes, isolate } from '../format';
import type { IApi, INode, IPartitions } from '../tokens';
import { Hint } from './hint';
import { Icon } from './icons';
import { useSize } from './use';
import { useWindow } from './window';

export interface IMatrixProps {
  readonly api: Pick<IApi, 'partitions'>;
  readonly object: string;
  readonly name: string;
  /** Asked anew when it changes. */
  readonly version: string;
  readonly nodes: readonly INode[];
  readonly trans: ITrans;
}

type Partition = IPartitions['partitions'][number];

const PAGE = 2000;
const ROW = 22;
const HEAD = 28;

export function MatrixView(props: IMatrixProps): JSX.Element {
  const { name, nodes, trans } = props;
  const { error, partitions, total } = usePartitions(props);
  const scroller = React.useRef<HTMLDivElement>(null);
  const { height } = useSize(scroller);
  const keys = React.useMemo(() => partitions.map(({ index }) => String(index)), [partitions]);
  const view = useWindow({ scroller, keys, rowHeight: ROW, height, headHeight: HEAD, current: -1, arrangement: '' });
  const columns = columnsOf(nodes, partitions);
  const template = `64px 72px repeat(${columns.length}, minmax(84px, 1fr))`;
  return (
    <div className="wb-Matrix">
      <div className="wb-Matrix-title">
        {trans._n('%2: %1 partition', '%2: %1 partitions', total, isolate(name))}
        <Absent partitions={partitions} trans={trans} />
        <Legend trans={trans} />
      </div>
      {error !== null && (
        <Hint kind="warning" trans={trans}>
          {error}
        </Hint>
      )}
      <div
        ref={scroller}
        className="wb-Matrix-scroller"
        role="table"
        aria-label={trans.__('Partitions of %1 by node', name)}
        aria-rowcount={partitions.length + 1}
        tabIndex={0}
        onScroll={view.onScroll}
      >
        <div role="rowgroup" className="wb-Matrix-head">
          <div role="row" aria-rowindex={1} className="wb-Matrix-row" style={{ gridTemplateColumns: template }}>
            <div role="columnheader">{trans.__('Partition')}</div>
            <div role="columnheader" data-right>
              {trans.__('Size')}
            </div>
            {columns.map(node => (
              <div role="columnheader" key={node.id} title={node.name}>
                {trans.__('%1 (%2)', isolate(node.name), node.count)}
              </div>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="wb-Matrix-body" style={{ height: view.total }}>
          {view.indices.map(index => (
            <MatrixRow
              key={keys[index]}
              partition={partitions[index]}
              index={index}
              columns={columns}
              template={template}
              trans={trans}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

function MatrixRow(props: {
  partition: Partition;
  index: number;
  columns: readonly IColumn[];
  template: string;
  trans: ITrans;
}): JSX.Element {
  const { columns, index, partition, template, trans } = props;
  const states: Readonly<Record<string, string>> = {
    memory: trans.__('memory'),
    disk: trans.__('disk'),
    cached: trans.__('cached')
  };
  const at = new Map(partition.replicas.map(({ node, state }) => [node, state]));
  const presence = presenceOf(partition);
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className="wb-Matrix-row"
      data-single={partition.replicas.length === 1 || undefined}
      data-presence={presence}
      style={{ gridTemplateColumns: template, height: ROW, transform: `translateY(${index * ROW}px)` }}
    >
      <div role="rowheader">{partition.index}</div>
      <div role="cell" data-right>
        {presence === 'missing' ? (
          <span className="wb-Matrix-missing" title={trans.__('No node has this partition. %1', absentAdvice(trans))}>
            {trans.__('missing')}
          </span>
        ) : (
          formatBytes(partition.nbytes)
        )}
      </div>
      {columns.map(({ id, name }) => {
        const state = at.get(id);
        if (state === 'lost') {
          return (
            <div
              role="cell"
              key={id}
              className="wb-Matrix-cell"
              data-state="lost"
              title={
                presence === 'lost'
                  ? trans.__(
                      'Only %1 has this partition, and no worker runs there. %2',
                      isolate(name),
                      absentAdvice(trans)
                    )
                  : trans.__('No worker runs on %1.', isolate(name))
              }
            >
              {trans.__('on a lost node')}
            </div>
          );
        }
        return (
          <div role="cell" key={id} className="wb-Matrix-cell" data-state={state ?? 'none'}>
            {state === undefined ? '' : (states[state] ?? state)}
          </div>
        );
      })}
    </div>
  );
}

/** Whether a running node has a partition, only lost ones have, or none. */
function presenceOf({ replicas }: Partition): 'there' | 'lost' | 'missing' {
  if (replicas.length === 0) {
    return 'missing';
  }
  return replicas.every(({ state }) => state === 'lost') ? 'lost' : 'there';
}

function absentAdvice(trans: ITrans): string {
  return trans.__('Start the node that has it, or compute the dataset anew, or delete it.');
}

/** How many partitions are in no running node's memory, where there are such. */
function Absent({ partitions, trans }: { partitions: readonly Partition[]; trans: ITrans }): JSX.Element | null {
  const count = (wanted: string): number => partitions.filter(each => presenceOf(each) === wanted).length;
  const [missing, lost] = [count('missing'), count('lost')];
  const texts = [
    missing > 0 ? trans.__('%1 missing', missing) : '',
    lost > 0 ? trans.__('%1 on lost nodes', lost) : ''
  ].filter(Boolean);
  return texts.length === 0 ? null : (
    <span
      className="wb-Missing"
      role="status"
      title={trans.__('Start the nodes that have them, or compute the dataset anew, or delete it.')}
    >
      <span className="wb-Missing-sign">
        <Icon name="warning" size={12} />
      </span>
      {texts.join(', ')}
    </span>
  );
}

interface IColumn {
  readonly id: string;
  readonly name: string;
  readonly count: number;
}

/** The nodes there are, and those that are gone but still have partitions; with how many each has. */
function columnsOf(nodes: readonly INode[], partitions: readonly Partition[]): IColumn[] {
  const counts = new Map<string, number>(nodes.map(({ id }) => [id, 0]));
  for (const { replicas } of partitions) {
    for (const { node } of replicas) {
      counts.set(node, (counts.get(node) ?? 0) + 1);
    }
  }
  const names = new Map(nodes.map(({ id, name }) => [id, name]));
  return [...counts].map(([id, count]) => ({ id, count, name: names.get(id) ?? id.slice(0, 8) }));
}

function Legend({ trans }: { trans: ITrans }): JSX.Element {
  return (
    <span className="wb-Matrix-legend" aria-hidden="true">
      <span className="wb-Matrix-cell" data-state="memory">
        {trans.__('memory')}
      </span>
      <span className="wb-Matrix-cell" data-state="disk">
        {trans.__('disk')}
      </span>
      <span className="wb-Matrix-cell" data-state="cached">
        {trans.__('cached')}
      </span>
    </span>
  );
}

function usePartitions({ api, object, version }: IMatrixProps): {
  error: string | null;
  partitions: readonly Partition[];
  total: number;
} {
  const [partitions, setPartitions] = React.useState<readonly Partition[]>([]);
  const [total, setTotal] = React.useState(0);
  const [error, setError] = React.useState<string | null>(null);
  React.useEffect(() => {
    let current = true;
    const load = async (): Promise<void> => {
      const found: Partition[] = [];
      let all = 1;
      while (current && found.length < all) {
        const page = await api.partitions(object, found.length, found.length + PAGE);
        all = page.total;
        found.push(...page.partitions);
        if (page.partitions.length === 0) {
          break;
        }
      }
      if (current) {
        setPartitions(found);
        setTotal(all);
        setError(null);
      }
    };
    load().catch((reason: unknown) => {
      if (current) {
        setError(reason instanceof Error ? reason.message : String(reason));
      }
    });
    return () => {
      current = false;
    };
  }, [api, object, version]);
  return { error, partitions, total };
}
