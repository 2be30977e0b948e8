import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { fireEvent, render, screen, within } from '@testing-library/react';
import * as React from 'react';

import { ApiError } from '../api';
import { addCommands } from '../commands';
import { WorkbenchModel } from '../model';
import type { IState } from '../tokens';
import { NodesView } from '../views/nodes';
import { ObjectsView } from '../views/objects';
import { FakeApi, NODE_A, NODE_B, makeObject, makeOperation, makeState } from './fixtures';

const trans = nullTranslator.load('test');

describe('panel', () => {
  let api: FakeApi;
  let model: WorkbenchModel;
  let commands: CommandRegistry;

  beforeEach(() => {
    api = new FakeApi();
    model = new WorkbenchModel({ api });
    commands = new CommandRegistry();
    addCommands({ commands, model, trans, notebooks: null, openPanel: () => undefined });
  });

  afterEach(() => model.dispose());

  async function show(state: Partial<IState> = {}): Promise<HTMLElement> {
    api.answer = makeState(state);
    await model.refresh();
    return render(
      <div>
        <NodesView model={model} trans={trans} />
        <ObjectsView model={model} commands={commands} trans={trans} />
      </div>
    ).container;
  }

  const rows = (): (string | undefined)[] =>
    [...document.querySelectorAll<HTMLElement>('[data-workbench-object]')].map(row => row.dataset.name);

  it('says that it is loading until the first answer', () => {
    render(<ObjectsView model={model} commands={commands} trans={trans} />);
    expect(screen.getByRole('status').textContent).toBe('Loading…');
  });

  it('shows a bar for each node with used and capacity', async () => {
    const container = await show();
    expect(container.querySelectorAll('[data-workbench-node]')).toHaveLength(2);
    const bar = screen.getByRole('meter', { name: 'Shared memory used on node-b' });
    expect(bar.getAttribute('aria-valuetext')).toBe('960 B of 1000 B');
    expect(bar.dataset.level).toBe('full');
    expect(screen.getByText('this host, 2 workers')).toBeTruthy();
  });

  it('says what of the used bytes is the pool', async () => {
    await show({ nodes: [{ ...NODE_B, pooled: 900 }] });
    const bar = screen.getByRole('meter', { name: 'Shared memory used on node-b' });
    expect(bar.getAttribute('aria-valuetext')).toBe('960 B of 1000 B (pool: 900 B)');
  });

  it('shows name, kind, shape, size, nodes and holders of each object', async () => {
    const holder = { pid: 5, kind: 'kernel', label: 'work/a.ipynb', since: 0, nbytes: 1 };
    await show({ objects: [makeObject({ holders: [holder] })] });
    const row = document.querySelector<HTMLElement>('[data-name="flights"]')!;
    const cells = within(row).getAllByRole('gridcell');
    const texts: Record<string, string | null> = {};
    for (const cell of cells) {
      texts[cell.dataset.column ?? 'buttons'] = cell.textContent;
    }
    expect(texts).toMatchObject({
      name: 'flights',
      kind: 'DataFrame',
      shape: '336,776 × 19',
      nbytes: '64 MiB',
      nodes: 'node-a',
      holders: 'a.ipynb'
    });
    expect(row.querySelectorAll(`[data-node="${NODE_A.id}"]`)).toHaveLength(1);
  });

  it('tells what in a notebook holds an object', async () => {
    const cause = 'Out[3], _ (%wb release clears)';
    const holder = { pid: 5, kind: 'kernel', label: 'work/a.ipynb', since: 0, nbytes: 1, cause };
    await show({ objects: [makeObject({ holders: [holder, { ...holder, pid: 6, cause: '' }] })] });
    expect(screen.getByText('2 processes').title).toBe(`work/a.ipynb (kernel 5): ${cause}\nwork/a.ipynb (kernel 6)`);
  });

  it('shows hostile names as text', async () => {
    const name = '<img src=x onerror=alert(1)>"\'\n\u202e';
    const container = await show({ objects: [makeObject({ name })] });
    expect(container.querySelector('img')).toBeNull();
    expect(rows()).toEqual([name]);
  });

  it('sorts by a click on a head, and tells it to screen readers', async () => {
    await show({
      objects: [makeObject({ id: '1', name: 'small', nbytes: 1 }), makeObject({ id: '2', name: 'large', nbytes: 2 })]
    });
    expect(rows()).toEqual(['large', 'small']);
    const head = screen.getByRole('columnheader', { name: 'Size' });
    fireEvent.click(within(head).getByRole('button'));
    expect(head.getAttribute('aria-sort')).toBe('descending');
    expect(rows()).toEqual(['large', 'small']);
    fireEvent.click(within(head).getByRole('button'));
    expect(head.getAttribute('aria-sort')).toBe('ascending');
    expect(rows()).toEqual(['small', 'large']);
  });

  it('moves the selection with the arrows, and opens the menu with Enter', async () => {
    await show({ objects: [makeObject({ id: '1', name: 'a' }), makeObject({ id: '2', name: 'b' })] });
    const [first, second] = [...document.querySelectorAll<HTMLElement>('[data-workbench-object]')];
    React.act(() => {
      first.focus();
    });
    fireEvent.keyDown(first, { key: 'ArrowDown' });
    expect(model.selection).toBe('2');
    expect(document.activeElement).toBe(second);
    const menu = jest.fn();
    document.addEventListener('contextmenu', menu, { once: true });
    fireEvent.keyDown(second, { key: 'Enter' });
    expect(menu).toHaveBeenCalled();
  });

  it('shows a running operation beside the replicas', async () => {
    await show({ operations: [makeOperation({ done_nbytes: 47 })] });
    const chip = screen.getByRole('progressbar', { name: 'Replicating to node-b' });
    expect(chip.textContent).toBe('node-b 47 %');
    expect(document.querySelector(`[data-workbench-object] [data-node="${NODE_B.id}"]`)).toBeNull();
  });

  it('shows how to begin when nothing is shared', async () => {
    await show({
      objects: [],
      store: null,
      error: { kind: 'no-store', message: 'no store' },
      cluster: { state: 'none', address: null, message: null }
    });
    expect(screen.getByText('Nothing shared yet')).toBeTruthy();
    expect(screen.getByText(/%share df/)).toBeTruthy();
    expect(screen.getByText('wb.LocalCluster()')).toBeTruthy();
  });

  it('says why a store cannot be used and a cluster cannot be reached', async () => {
    await show({
      objects: [],
      store: null,
      error: { kind: 'store', message: 'The catalog is newer than this code.' },
      cluster: { state: 'unreachable', address: 'tcp://10.0.0.5:8786', message: null }
    });
    expect(screen.getByText('The catalog is newer than this code.')).toBeTruthy();
    expect(screen.getByText('The Dask cluster at tcp://10.0.0.5:8786 does not answer.')).toBeTruthy();
  });

  it('keeps what it knew when the server is gone, and offers to try again', async () => {
    await show();
    api.failure = new ApiError('offline', 'Failed to fetch');
    await React.act(() => model.refresh());
    expect(screen.getByText('The server does not answer')).toBeTruthy();
    expect(rows()).toEqual(['flights']);
    api.failure = null;
    await React.act(async () => {
      fireEvent.click(screen.getByRole('button', { name: 'Try Again' }));
      await model.refresh();
    });
    expect(screen.queryByText('The server does not answer')).toBeNull();
  });

  it('says that the server extension is missing', async () => {
    api.failure = new ApiError('missing', 'Not Found', 404);
    await model.refresh();
    render(<ObjectsView model={model} commands={commands} trans={trans} />);
    expect(screen.getByText(/is not enabled in this Jupyter server/)).toBeTruthy();
  });

  it('filters', async () => {
    await show({ objects: [makeObject({ id: '1', name: 'a' }), makeObject({ id: '2', name: 'b' })] });
    React.act(() => {
      model.filter = 'b';
    });
    expect(rows()).toEqual(['b']);
    React.act(() => {
      model.filter = 'zebra';
    });
    expect(screen.getByText('No object matches the filter.')).toBeTruthy();
  });
});
