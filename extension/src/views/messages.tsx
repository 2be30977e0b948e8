/** Why something cannot be shown or done: each says the reason, and offers one thing that helps. */

import * as React from 'react';

import type { ITrans } from '../format';
import type { IProblem, IState } from '../tokens';
import { CommandIDs } from '../tokens';
import { Hint } from './hint';
import type { IViewProps } from './types';

/** What to say above or instead of the list of objects; nothing when all is well. */
export function Message(props: IViewProps): JSX.Element {
  const { model, commands, trans } = props;
  const { problem, state } = model;
  const again = { label: trans.__('Try Again'), run: () => void commands.execute(CommandIDs.refresh) };
  if (problem !== null) {
    return (
      <Hint kind="warning" title={titleOf(problem, trans)} action={again} trans={trans}>
        {explain(problem, trans)}
      </Hint>
    );
  }
  if (state === null || (state.partial === true && state.objects.length === 0 && state.error === null)) {
    return (
      <div className="wb-Loading" role="status">
        {trans.__('Loading…')}
      </div>
    );
  }
  if (state.error !== null && state.error.kind !== 'no-store') {
    return (
      <Hint kind="warning" title={trans.__('The store cannot be used')} action={again} trans={trans}>
        {state.error.message}
      </Hint>
    );
  }
  return (
    <>
      <Skew {...props} state={state} />
      <ReadOnly {...props} />
      {state.objects.length === 0 && model.layout.listing !== 'deleted' && (
        <Hint
          title={state.error === null ? trans.__('Nothing shared yet') : trans.__('No store on this host yet')}
          code={'%load_ext workbench\n%share df'}
          trans={trans}
        >
          {trans.__(
            'Share a variable in a notebook, and every other notebook and Dask worker can use it without a copy:'
          )}
        </Hint>
      )}
      {state.truncated > 0 && (
        <Hint trans={trans}>
          {trans._n(
            '%1 more object is not shown: the list has the newest ones.',
            '%1 more objects are not shown: the list has the newest ones.',
            state.truncated
          )}
        </Hint>
      )}
    </>
  );
}

function titleOf(problem: IProblem, trans: ITrans): string {
  switch (problem.kind) {
    case 'forbidden':
      return trans.__('You may not look at the workbench');
    case 'offline':
    case 'http':
      return trans.__('The server does not answer');
    default:
      return trans.__('The workbench is not available');
  }
}

function explain(problem: IProblem, trans: ITrans): string {
  switch (problem.kind) {
    case 'missing':
      return trans.__('The server extension workbench.jupyter.server is not enabled in this Jupyter server.');
    case 'forbidden':
      return trans.__('Whoever runs this Jupyter server can give you read access to “workbench:objects”.');
    case 'offline':
      return trans.__('The Jupyter server has stopped or cannot be reached. What is shown is what was last known.');
    default:
      return problem.message;
  }
}

/** Versions that differ, between the panel, the server and the cluster. */
function Skew({ extensionVersion, state, trans }: IViewProps & { state: IState }): JSX.Element {
  const versions = state.versions;
  if (versions === undefined) {
    return <></>;
  }
  if (versions.cluster !== null && versions.cluster !== versions.server) {
    return (
      <Hint
        kind="warning"
        title={trans.__('Versions differ')}
        code={`pip install shm-workbench==${versions.server}`}
        trans={trans}
      >
        {trans.__(
          'The cluster has version %1 of the workbench, this server %2: some actions may be refused. Install one version everywhere:',
          versions.cluster,
          versions.server
        )}
      </Hint>
    );
  }
  if (extensionVersion !== undefined && extensionVersion !== versions.server) {
    return (
      <Hint
        kind="warning"
        title={trans.__('Versions differ')}
        action={{ label: trans.__('Reload the Page'), run: () => window.location.reload() }}
        trans={trans}
      >
        {trans.__('This panel is of version %1, the server of %2.', extensionVersion, versions.server)}
      </Hint>
    );
  }
  return <></>;
}

function ReadOnly({ model, trans }: IViewProps): JSX.Element {
  const { execute, write } = model.permissions;
  if (write && execute) {
    return <></>;
  }
  const resource = write ? 'workbench:objects (execute)' : 'workbench:objects (write, execute)';
  return (
    <Hint title={write ? trans.__('Moving is not permitted') : trans.__('Read-only')} code={resource} trans={trans}>
      {trans.__('You may look, and not change what is shown. Whoever runs this Jupyter server can permit:')}
    </Hint>
  );
}
