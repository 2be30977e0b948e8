import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { act, cleanup, fireEvent, render, screen, within } from '@testing-library/react';
import * as React from 'react';

import { ApiError } from '../api';
import type { ICardServices } from '../card/renderer';
import { readCard } from '../card/tokens';
import { CardView } from '../card/views';
import { addCommands } from '../commands';
import { WorkbenchModel } from '../model';
import type { IObject, IState } from '../tokens';
import { FakeApi, NODE_A, NODE_B, makeIncomplete, makeObject, makeOperation, makeState } from './fixtures';

const trans = nullTranslator.load('test');

function data(kind: string, values: object[], more: object = {}): Record<string, unknown> {
  return { form: 1, kind, time: 1_700_000_000, values, total: values.length, ...more };
}

describe('reading a card', () => {
  it('believes nothing of what a notebook says', () => {
    const card = readCard(
      data('object', [{ id: 'x', name: 7, shape: 'big', nbytes: '1', replicas: [3, {}], notes: 1 }])
    );
    expect(card?.values).toMatchObject([
      {
        id: 'x',
        name: null,
        shape: null,
        nbytes: 0,
        replicas: [{ node: '', state: '', nbytes: 0 }],
        notes: [],
        holders: []
      }
    ]);
  });

  it.each([[null], ['text'], [[]], [{}], [data('object', [], { form: 2 })], [data('other', [])]])(
    'knows what it does not understand: %j',
    value => expect(readCard(value)).toBeNull()
  );

  it('leaves out values without an id', () => {
    expect(readCard(data('nodes', [{ name: 'a' }, { id: 'b' }]))?.values).toHaveLength(1);
  });
});

describe('card', () => {
  let api: FakeApi;
  let model: WorkbenchModel;
  let services: ICardServices;
  let lookup: jest.Mock<Promise<IObject>, [string]>;

  beforeEach(() => {
    api = new FakeApi();
    model = new WorkbenchModel({ api });
    const commands = new CommandRegistry();
    addCommands({ commands, model, trans, notebooks: null, openPanel: () => undefined });
    lookup = jest.fn<Promise<IObject>, [string]>(() => Promise.reject(new ApiError('not-found', 'gone', 404)));
    services = { commands, model, lookup };
  });

  afterEach(() => {
    cleanup();
    model.dispose();
  });

  async function answer(state: Partial<IState>): Promise<void> {
    api.answer = makeState(state);
    await act(async () => {
      await model.refresh();
    });
  }

  async function show(card: Record<string, unknown>, state: Partial<IState> | null = {}): Promise<void> {
    const read = readCard(card);
    render(<CardView card={read} services={state === null ? null : services} trans={trans} />);
    if (state !== null) {
      await answer(state);
    }
  }

  const status = (): string | null => screen.getByRole('status').textContent;
  const saved = data('object', [{ ...makeObject(), nbytes: 1, replicas: [] }]);

  it('shows what was saved, without buttons, where there is no server to ask', async () => {
    await show(saved, null);
    expect(status()).toBe('saved');
    expect(screen.getByRole('article', { name: 'Shared object flights' }).textContent).toContain('1 B');
    expect(screen.queryByRole('button')).toBeNull();
  });

  it('shows the object as it is now, and follows it', async () => {
    await show(saved, { version: '1' });
    expect(status()).toBe('live');
    expect(document.body.textContent).toContain('64 MiB');
    expect(document.querySelector('.wb-Chip')?.textContent).toBe('node-a');
    const holder = { pid: 1, kind: 'kernel', label: 'deep/b.ipynb', since: 0, nbytes: 1 };
    await answer({ version: '2', objects: [makeObject({ pinned: true, holders: [holder] })] });
    expect(screen.getByText('pinned')).toBeTruthy();
    expect(screen.getByText('b.ipynb')).toBeTruthy();
  });

  it('says that an object was deleted while it was looked at', async () => {
    await show(saved, { version: '1' });
    await answer({ version: '2', objects: [] });
    expect(status()).toBe('deleted');
    expect(screen.queryByRole('button')).toBeNull();
  });

  it('says that the server does not know an object of an old notebook', async () => {
    await show(saved, { objects: [] });
    expect(status()).toBe('no longer known');
    expect(lookup).not.toHaveBeenCalled();
  });

  it('asks once for what may be a partition: what is gone stays gone', async () => {
    const dataset = makeObject({ kind: 'dataset', id: `${makeObject().id.slice(0, 12)}${'e'.repeat(20)}` });
    for (const version of ['1', '2']) {
      await (version === '1' ? show(saved, { objects: [dataset] }) : answer({ version, objects: [dataset] }));
      await act(async () => {
        await Promise.resolve();
      });
      expect(status()).toBe('no longer known');
      expect(lookup).toHaveBeenCalledTimes(1);
    }
  });

  it('asks for an object that the state has no room for', async () => {
    lookup.mockResolvedValue(makeObject({ nbytes: 5 }));
    await show(saved, { objects: [], truncated: 3 });
    await act(async () => {
      await Promise.resolve();
    });
    expect(status()).toBe('live');
    expect(document.body.textContent).toContain('5 B');
  });

  it('keeps what it knew when the server does not answer', async () => {
    await show(saved);
    api.failure = new ApiError('offline', 'no network');
    await act(async () => {
      await model.refresh();
    });
    expect(status()).toBe('offline');
    expect(document.body.textContent).toContain('64 MiB');
  });

  it('shows what was saved where the server has no extension', async () => {
    api.failure = new ApiError('missing', 'no such route', 404);
    await show(saved, {});
    expect(status()).toBe('saved');
  });

  it('shows names as text', async () => {
    const name = '<img src=x onerror=alert(1)>\u202e"';
    await show(data('object', [makeObject({ name })]), null);
    expect(document.querySelector('img')).toBeNull();
    expect(screen.getByText(name).tagName).toBe('BDI');
  });

  it('opens a menu with the commands that there are, by the keyboard as well', async () => {
    await show(saved);
    const button = screen.getByRole('button', { name: 'Actions on flights' });
    fireEvent.click(button);
    const labels = [...document.querySelectorAll('.lm-Menu-itemLabel')].map(label => label.textContent);
    expect(labels).toEqual(expect.arrayContaining(['Copy Name', 'Replicate to Node…', 'Delete…']));
    fireEvent.keyDown(document.querySelector('.lm-Menu')!, { key: 'Escape', keyCode: 27 });
    expect(document.activeElement).toBe(button);
  });

  it('lists objects, with what became of each', async () => {
    const other = makeObject({ id: 'f'.repeat(32), name: 'gone' });
    await show(data('objects', [makeObject(), other], { total: 7 }), { objects: [makeObject()] });
    const rows = screen.getAllByRole('row').slice(1);
    expect(rows.map(row => row.dataset.status)).toEqual(['live', 'unknown']);
    expect(within(rows[0]).getByRole('button')).toBeTruthy();
    expect(within(rows[1]).queryByRole('button')).toBeNull();
    expect(screen.getByText('and 5 more')).toBeTruthy();
    expect(lookup).not.toHaveBeenCalled();
  });

  it('says of a dataset of which partitions are missing that it is incomplete', async () => {
    const dataset = makeIncomplete();
    await show(data('objects', [{ ...dataset, notes: [] }]), { objects: [dataset] });
    const row = within(screen.getAllByRole('row')[1]);
    expect(row.getByText('1 of 3 partitions').title).toContain('compute the dataset anew, or delete it');
    expect(row.getByText('incomplete')).toBeTruthy();
    expect(row.queryByText('live')).toBeNull();
    await answer({ version: '2', objects: [{ ...dataset, notes: ['3 partitions'] }] });
    expect(row.getByText('live')).toBeTruthy();
    expect(row.queryByText('1 of 3 partitions')).toBeNull();
  });

  it('says the same where one dataset has the card, and where there is no server to ask', async () => {
    await show(data('object', [makeIncomplete()]), { objects: [makeIncomplete()] });
    expect(screen.getByText('1 of 3 partitions')).toBeTruthy();
    expect(status()).toBe('incomplete');
    cleanup();
    await show(data('object', [makeIncomplete()]), null);
    expect(screen.getByText('1 of 3 partitions')).toBeTruthy();
    expect(status()).toBe('saved');
  });

  it('shows nodes with a bar', async () => {
    await show(data('nodes', [NODE_A, { ...NODE_B, id: 'c', name: 'old' }]));
    expect(screen.getByRole('meter', { name: 'Shared memory used on node-a' }).getAttribute('aria-valuenow')).toBe(
      '25'
    );
    expect(within(screen.getAllByRole('row')[2]).getByText('gone')).toBeTruthy();
  });

  it('follows an operation to its end', async () => {
    const operation = makeOperation({ done_nbytes: 30 });
    await show(data('operations', [{ ...operation, done_nbytes: 0, error: '' }]), { operations: [operation] });
    expect(status()).toBe('running');
    expect(screen.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('30');
    expect(screen.getByText('replicate “flights” to node-b')).toBeTruthy();
    await answer({
      version: '2',
      operations: [{ ...operation, state: 'failed', error: { kind: 'x', message: 'full' } }]
    });
    expect(status()).toBe('failed');
    expect(screen.getByText('full')).toBeTruthy();
    await answer({ version: '3', operations: [] });
    expect(status()).toBe('failed');
  });

  it('does not claim that an operation runs of which nobody knows any more', async () => {
    await show(data('operations', [{ ...makeOperation(), error: '' }]), { operations: [] });
    expect(status()).toBe('no longer known');
  });
});
