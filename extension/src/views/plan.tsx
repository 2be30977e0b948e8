/** What would happen: how much travels, how long it may take, what has to make room, and what is refused. */

import * as React from 'react';

import type { ITrans } from '../format';
import { formatBytes, formatDuration, idLabel, isolate } from '../format';
import type { IPlanSum } from '../plans';
import type { INode } from '../tokens';

const LISTED = 6;

export function PlanView({ plan, trans }: { plan: IPlanSum | null; trans: ITrans }): JSX.Element {
  if (plan === null) {
    return (
      <div className="wb-Plan" role="status">
        {trans.__('Working out what that would do…')}
      </div>
    );
  }
  const how =
    plan.seconds === null
      ? formatBytes(plan.nbytes)
      : trans.__('%1, about %2', formatBytes(plan.nbytes), formatDuration(Math.max(1, plan.seconds), trans));
  const what: Readonly<Record<string, string>> = {
    pool: trans.__('the pool is emptied'),
    cached: trans.__('a cached replica goes'),
    spill: trans.__('is spilled to disk'),
    missing: trans.__('there is not enough room')
  };
  return (
    <div className="wb-Plan" role="status">
      <div className="wb-Plan-size">{how}</div>
      {plan.evicts.length > 0 && (
        <>
          <div>{trans.__('To make room:')}</div>
          <ul>
            {plan.evicts.slice(0, LISTED).map(each => (
              <li key={`${each.node} ${each.id ?? each.name} ${each.what}`}>
                {trans.__(
                  '%1: %2 %3 %4',
                  isolate(each.node),
                  isolate(each.name ?? (each.id === null ? '' : idLabel(each.id))),
                  what[each.what] ?? each.what,
                  each.nbytes === null ? '' : `(${formatBytes(each.nbytes)})`
                )}
              </li>
            ))}
            {plan.evicts.length > LISTED && <li>{trans.__('and %1 more', plan.evicts.length - LISTED)}</li>}
          </ul>
        </>
      )}
      {plan.last > 0 && (
        <div className="wb-Plan-refused" role="alert">
          {plan.count === 1
            ? trans.__('No other node has what is there: dropping it destroys the object.')
            : trans._n(
                'Of %1 object no other node has what is there: dropping it destroys the object.',
                'Of %1 objects no other node has what is there: dropping it destroys the objects.',
                plan.last
              )}
        </div>
      )}
      {plan.refused.length > 0 && (
        <div className="wb-Plan-refused" role="alert">
          {plan.count === 1
            ? trans.__('Refused: %1', plan.refused[0])
            : trans.__('%1 of %2 are refused: %3', plan.refused.length, plan.count, plan.refused[0])}
        </div>
      )}
    </div>
  );
}

export interface IChoiceProps {
  readonly text: string;
  readonly label: string;
  readonly nodes: readonly INode[];
  readonly chosen: string;
  readonly onChange: (node: string) => void;
  /** What would happen with this node. */
  readonly plan: (node: string) => Promise<IPlanSum>;
  readonly trans: ITrans;
}

/** The choice of a node, and what would happen with it. */
export function ChoiceView(props: IChoiceProps): JSX.Element {
  const { label, nodes, plan, text, trans } = props;
  const [chosen, choose] = React.useState(props.chosen);
  const [sum, setSum] = React.useState<IPlanSum | null>(null);
  React.useEffect(() => {
    let current = true;
    setSum(null);
    void plan(chosen).then(found => {
      if (current) {
        setSum(found);
      }
    });
    return () => {
      current = false;
    };
  }, [chosen, plan]);
  return (
    <>
      <p>{text}</p>
      <label>
        {label}
        <select
          className="jp-mod-styled"
          autoFocus
          value={chosen}
          onChange={event => {
            choose(event.target.value);
            props.onChange(event.target.value);
          }}
        >
          {nodes.map(node => (
            <option key={node.id} value={node.id}>
              {describe(node, trans)}
            </option>
          ))}
        </select>
      </label>
      <PlanView plan={sum} trans={trans} />
    </>
  );
}

/** A node's name, and what is free there where that is known. */
function describe(node: INode, trans: ITrans): string {
  const free = node.free ?? Math.max(0, node.capacity - node.used);
  return node.capacity > 0 ? trans.__('%1 (%2 free)', isolate(node.name), formatBytes(free)) : node.name;
}
