/**
 * What a card shows: an object, a list of them, nodes or operations; how each is now, and what can be done with it.
 *
 * Whatever comes from the notebook or the server is shown as text.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { inUse } from '../bytes';
import { missingOf } from '../completeness';
import { formatBytes, formatShape, fraction, holderLabel, isolate, objectLabel, typeLabel } from '../format';
import type { INode, IObject, IOperation, IReplica, IWorkbenchModel } from '../tokens';
import { CommandIDs } from '../tokens';
import { Icon, KindIcon } from '../views/icons';
import { Missing } from '../views/missing';
import type { IEntry, Status } from './entries';
import { CardEntries } from './entries';
import { openObjectMenu } from './menu';
import type { ICardServices } from './renderer';
import type { Card } from './tokens';

interface IProps {
  readonly services: ICardServices | null;
  readonly trans: TranslationBundle;
}

export function CardView({ card, services, trans }: IProps & { card: Card | null }): JSX.Element {
  if (card === null) {
    return (
      <div className="wb-Card">
        {trans.__('This was made by a newer version of the workbench. Update the extension to see it.')}
      </div>
    );
  }
  const props = { services, trans };
  switch (card.kind) {
    case 'object':
      return (
        <Live values={card.values} find={objects} lookup={services?.lookup} services={services}>
          {([entry]) => (entry === undefined ? <></> : <ObjectCard {...props} entry={entry} time={card.time} />)}
        </Live>
      );
    case 'objects':
      return (
        <Live values={card.values} find={objects} services={services}>
          {entries => <ObjectsCard {...props} entries={entries} total={card.total} />}
        </Live>
      );
    case 'nodes':
      return (
        <Live values={card.values} find={nodes} services={services}>
          {entries => <NodesCard {...props} entries={entries} />}
        </Live>
      );
    case 'operations':
      return (
        <Live values={card.values} find={operations} services={services}>
          {entries => <OperationsCard {...props} entries={entries} />}
        </Live>
      );
  }
}

const objects = (model: IWorkbenchModel): readonly IObject[] => model.state?.objects ?? [];
const nodes = (model: IWorkbenchModel): readonly INode[] => model.state?.nodes ?? [];
const operations = (model: IWorkbenchModel): readonly IOperation[] => model.state?.operations ?? [];

/** Show values as they are now; as they were, while there is nobody to ask. */
function Live<T extends Card['values'][number]>(props: {
  readonly values: readonly T[];
  readonly find: (model: IWorkbenchModel) => readonly T[];
  readonly lookup?: (id: string) => Promise<T>;
  readonly services: ICardServices | null;
  readonly children: (entries: readonly IEntry<T>[]) => JSX.Element;
}): JSX.Element {
  const { children, find, lookup, services, values } = props;
  const [entries, setEntries] = React.useState<CardEntries<T> | null>(null);
  const model = services?.model;
  React.useEffect(() => {
    if (model === undefined) {
      return;
    }
    const made = new CardEntries(model, values, find, lookup);
    setEntries(made);
    return () => made.dispose();
  }, [model, values, find, lookup]);
  if (entries === null) {
    return children(values.map(value => ({ value, status: 'saved' })));
  }
  return <UseSignal signal={entries.changed}>{() => children(entries.entries)}</UseSignal>;
}

// -- objects ----------------------------------------------------------------------------------------------------------

function ObjectCard(props: IProps & { entry: IEntry<IObject>; time: number }): JSX.Element {
  const { entry, services, time, trans } = props;
  const object = entry.value;
  const gone = isGone(entry.status);
  const sizes =
    object.shared_nbytes > 0
      ? trans.__('%1 and %2 shared', formatBytes(object.nbytes), formatBytes(object.shared_nbytes))
      : formatBytes(object.nbytes);
  return (
    <article
      className="wb-Card"
      aria-label={trans.__('Shared object %1', objectLabel(object))}
      data-status={entry.status}
      data-incomplete={missingOf(object) !== null || undefined}
      data-workbench-card={object.id}
    >
      <header className="wb-Card-head">
        <KindIcon kind={object.kind} />
        <bdi className="wb-Card-name" title={object.name ?? object.id}>
          {objectLabel(object)}
        </bdi>
        {object.pinned && !gone && <span className="wb-Chip">{trans.__('pinned')}</span>}
        {!gone && <Missing object={object} trans={trans} />}
        <StatusText object={object} status={entry.status} time={time} trans={trans} />
      </header>
      <p className="wb-Card-line">
        {[typeLabel(object), formatShape(object.shape), sizes].filter(Boolean).join(' · ')}
      </p>
      {!gone && <Where object={object} trans={trans} />}
      {object.notes.map(note => (
        <p key={note} className="wb-Card-line">
          {note}
        </p>
      ))}
      {services !== null && entry.status === 'live' && (
        <ObjectButtons object={object} services={services} trans={trans} />
      )}
    </article>
  );
}

/** On which nodes an object is, and who has it mapped. */
function Where({ object, trans }: { object: IObject; trans: TranslationBundle }): JSX.Element {
  const labels = [...new Set(object.holders.map(holderLabel))];
  const more = labels.length > 3 ? trans.__('%1 and %2 more', labels.slice(0, 3).join(', '), labels.length - 3) : '';
  return (
    <>
      {object.replicas.length > 0 && (
        <p className="wb-Card-line">
          <span>{trans.__('on')}</span> {object.replicas.map(replica => chip(replica, trans))}
        </p>
      )}
      {labels.length > 0 && (
        <p className="wb-Card-line" title={labels.join('\n')}>
          <span>{trans.__('held by')}</span> <bdi>{more || labels.join(', ')}</bdi>
        </p>
      )}
    </>
  );
}

function chip(replica: IReplica, trans: TranslationBundle): JSX.Element {
  const states: Record<string, string> = {
    disk: trans.__('on disk'),
    cached: trans.__('cached'),
    lost: trans.__('lost')
  };
  const state = states[replica.state];
  return (
    <span key={replica.node} className="wb-Chip" data-node={replica.node} data-state={replica.state}>
      {state ? trans.__('%1 (%2)', isolate(replica.node_name), state) : replica.node_name}
    </span>
  );
}

function ObjectButtons(props: { object: IObject; services: ICardServices; trans: TranslationBundle }): JSX.Element {
  const { object, services, trans } = props;
  const name = objectLabel(object);
  return (
    <div className="wb-Card-buttons">
      {services.commands.hasCommand(CommandIDs.preview) && (
        <button
          className="jp-mod-styled wb-Card-button"
          type="button"
          aria-label={trans.__('Preview %1', name)}
          onClick={() => void services.commands.execute(CommandIDs.preview, { object: object.id })}
        >
          {trans.__('Preview')}
        </button>
      )}
      <button
        className="jp-mod-styled wb-Card-button"
        type="button"
        aria-label={trans.__('Actions on %1', name)}
        aria-haspopup="menu"
        onClick={event => openObjectMenu(event.currentTarget, services.commands, object)}
      >
        {trans.__('Actions')}
      </button>
    </div>
  );
}

function ObjectsCard(props: IProps & { entries: readonly IEntry<IObject>[]; total: number }): JSX.Element {
  const { entries, services, total, trans } = props;
  return (
    <div className="wb-Card" data-kind="objects">
      <table className="wb-Card-table">
        <thead>
          <tr>
            <th scope="col">{trans.__('Name')}</th>
            <th scope="col">{trans.__('Kind')}</th>
            <th scope="col">{trans.__('Shape')}</th>
            <th scope="col" className="wb-mod-number">
              {trans.__('Size')}
            </th>
            <th scope="col">{trans.__('Nodes')}</th>
            <th scope="col">{trans.__('Now')}</th>
            <td />
          </tr>
        </thead>
        <tbody>
          {entries.map(({ status, value: object }) => (
            <tr key={object.id} data-status={status} data-workbench-card={object.id}>
              <th scope="row">
                <bdi title={object.name ?? object.id}>{objectLabel(object)}</bdi>
              </th>
              <td>{typeLabel(object)}</td>
              <td>
                {formatShape(object.shape)} {!isGone(status) && <Missing object={object} trans={trans} />}
              </td>
              <td className="wb-mod-number">{formatBytes(object.nbytes)}</td>
              <td>{!isGone(status) && object.replicas.map(replica => chip(replica, trans))}</td>
              <td>{objectNow(object, status, trans)}</td>
              <td>
                {services !== null && status === 'live' && (
                  <button
                    className="jp-mod-minimal wb-IconButton"
                    type="button"
                    title={trans.__('Actions')}
                    aria-label={trans.__('Actions on %1', objectLabel(object))}
                    aria-haspopup="menu"
                    onClick={event => openObjectMenu(event.currentTarget, services.commands, object)}
                  >
                    <Icon name="menu" />
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {total > entries.length && <p className="wb-Card-line">{trans.__('and %1 more', total - entries.length)}</p>}
    </div>
  );
}

// -- nodes and operations ---------------------------------------------------------------------------------------------

function NodesCard({ entries, trans }: IProps & { entries: readonly IEntry<INode>[] }): JSX.Element {
  return (
    <div className="wb-Card" data-kind="nodes">
      <table className="wb-Card-table">
        <thead>
          <tr>
            <th scope="col">{trans.__('Node')}</th>
            <th scope="col">{trans.__('State')}</th>
            <th scope="col">{trans.__('Shared memory used')}</th>
            <th scope="col" className="wb-mod-number">
              {trans.__('Workers')}
            </th>
          </tr>
        </thead>
        <tbody>
          {entries.map(({ status, value: node }) => (
            <tr key={node.id} data-status={status} data-workbench-card={node.id}>
              <th scope="row" title={node.address}>
                <bdi>{node.name}</bdi>
              </th>
              <td>{status === 'unknown' || status === 'deleted' ? trans.__('gone') : nodeState(node.state, trans)}</td>
              <td>
                <Meter
                  value={fraction(inUse(node), node.capacity)}
                  label={trans.__('Shared memory used on %1', node.name)}
                  text={trans.__('%1 of %2', formatBytes(inUse(node)), formatBytes(node.capacity))}
                />
              </td>
              <td className="wb-mod-number">{node.workers.length}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function OperationsCard(props: IProps & { entries: readonly IEntry<IOperation>[] }): JSX.Element {
  const { entries, services, trans } = props;
  return (
    <div className="wb-Card" data-kind="operations">
      {entries.map(({ status, value: operation }) => {
        const running = operation.state === 'running' && status !== 'unknown';
        const names = operation.to.map(id => isolate(nodeName(services, id))).join(', ');
        const what = isolate(operation.name ?? operation.object);
        const title = names
          ? trans.__('%1 “%2” to %3', operation.verb, what, names)
          : trans.__('%1 “%2”', operation.verb, what);
        return (
          <section
            key={operation.id}
            className="wb-Card-operation"
            data-state={running ? 'running' : operation.state}
            data-status={status}
            data-workbench-card={operation.id}
          >
            <p className="wb-Card-line">
              <bdi className="wb-Card-name">{title}</bdi>
              <span className="wb-Card-status" role="status">
                {operationText(operation, status, trans)}
              </span>
            </p>
            <Meter
              role="progressbar"
              value={operation.state === 'done' ? 1 : fraction(operation.done_nbytes, operation.total_nbytes)}
              label={title}
              text={trans.__('%1 of %2', formatBytes(operation.done_nbytes), formatBytes(operation.total_nbytes))}
            />
            {operation.error !== null && <p className="wb-Card-line">{operation.error.message}</p>}
          </section>
        );
      })}
    </div>
  );
}

function Meter(props: { role?: string; value: number; label: string; text: string }): JSX.Element {
  const { label, role = 'meter', text, value } = props;
  const percent = Math.round(100 * value);
  return (
    <div className="wb-Card-meter">
      <div
        className="wb-Bar"
        role={role}
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={text}
        data-level={role === 'meter' && value > 0.95 ? 'full' : undefined}
      >
        {value > 0 && <div className="wb-Bar-part" data-part="used" style={{ width: `${100 * value}%` }} />}
      </div>
      <span className="wb-Card-amount">{text}</span>
    </div>
  );
}

// -- words ------------------------------------------------------------------------------------------------------------

function StatusText(props: { object: IObject; status: Status; time: number; trans: TranslationBundle }): JSX.Element {
  const { object, status, time, trans } = props;
  const when = time > 0 ? new Date(1000 * time).toLocaleString() : '';
  const long: Record<Status, string> = {
    asking: trans.__('Asking the server'),
    live: trans.__('As the server knows it now'),
    deleted: trans.__('It was deleted while this card was open'),
    unknown: trans.__('The server does not know it: it was deleted, or is in another store'),
    offline: trans.__('The server does not answer; this is what was last known'),
    saved: when ? trans.__('As it was on %1', when) : trans.__('As it was when this was saved')
  };
  return (
    <span className="wb-Card-status" role="status" title={long[status]}>
      {status === 'live' && missingOf(object) !== null ? trans.__('incomplete') : nowText(status, trans)}
    </span>
  );
}

function nowText(status: Status, trans: TranslationBundle): string {
  const texts: Record<Status, string> = {
    asking: '…',
    live: trans.__('live'),
    deleted: trans.__('deleted'),
    unknown: trans.__('no longer known'),
    offline: trans.__('offline'),
    saved: trans.__('saved')
  };
  return texts[status];
}

/** Of an object that is there: what else there is to say of it, in a word. */
function objectNow(object: IObject, status: Status, trans: TranslationBundle): string {
  if (status === 'live' && missingOf(object) !== null) {
    return trans.__('incomplete');
  }
  return status === 'live' && object.pinned ? trans.__('pinned') : nowText(status, trans);
}

function nodeState(state: string, trans: TranslationBundle): string {
  const texts: Record<string, string> = {
    running: trans.__('running'),
    draining: trans.__('draining'),
    drained: trans.__('drained'),
    lost: trans.__('lost'),
    local: trans.__('this host')
  };
  return texts[state] ?? state;
}

function operationText(operation: IOperation, status: Status, trans: TranslationBundle): string {
  if (operation.state === 'running' && status === 'unknown') {
    return trans.__('no longer known');
  }
  const texts: Record<IOperation['state'], string> = {
    running: status === 'live' ? trans.__('running') : trans.__('was running'),
    done: trans.__('done'),
    failed: trans.__('failed'),
    cancelled: trans.__('cancelled')
  };
  return texts[operation.state];
}

function nodeName(services: ICardServices | null, id: string): string {
  return services?.model.state?.nodes.find(node => node.id === id)?.name ?? id.slice(0, 8);
}

function isGone(status: Status): boolean {
  return status === 'deleted' || status === 'unknown';
}
