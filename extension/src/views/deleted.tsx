/** What is deleted and still mapped: who keeps it, what in that process does, and how it is given back. */

import * as React from 'react';

import { formatBytes, formatDuration } from '../format';
import type { IHolder } from '../tokens';
import { CommandIDs } from '../tokens';
import { Hint } from './hint';
import type { IViewProps } from './types';
import { useNow } from './use';

export function DeletedList({ commands, model, trans }: IViewProps): JSX.Element {
  const now = useNow(15);
  const deleted = [...(model.state?.deleted ?? [])].sort((left, right) => right.nbytes - left.nbytes);
  if (deleted.length === 0) {
    return (
      <Hint trans={trans}>
        {trans.__('Nothing that was deleted is still mapped: all of its memory has been given back.')}
      </Hint>
    );
  }
  return (
    <div className="wb-Deleted">
      <table className="wb-Table" aria-label={trans.__('Deleted but held')}>
        <thead>
          <tr>
            <th scope="col">{trans.__('Name')}</th>
            <th scope="col">{trans.__('Kept by')}</th>
            <th scope="col" data-right>
              {trans.__('Size')}
            </th>
          </tr>
        </thead>
        <tbody>
          {deleted.map(holder => (
            <Kept key={`${holder.pid} ${holder.name}`} holder={holder} now={now} commands={commands} trans={trans} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Kept(props: Pick<IViewProps, 'commands' | 'trans'> & { holder: IHolder; now: number }): JSX.Element {
  const { commands, holder, now, trans } = props;
  const path = holder.path;
  const who = trans.__('%1 (%2 %3)', holder.label, holder.kind, holder.pid);
  return (
    <tr data-workbench-deleted={holder.name ?? ''}>
      <td dir="auto">{holder.name ?? trans.__('without a name')}</td>
      <td>
        {path ? (
          <button
            className="wb-Link"
            type="button"
            title={trans.__('Open this notebook')}
            onClick={() => void commands.execute(CommandIDs.openHolder, { path })}
          >
            {who}
          </button>
        ) : (
          who
        )}
        <div className="wb-Deleted-cause">
          {holder.cause || trans.__('by a variable or a view of it, for %1', formatDuration(now - holder.since, trans))}
        </div>
      </td>
      <td data-right>{formatBytes(holder.nbytes)}</td>
    </tr>
  );
}
