import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { fireEvent, render, screen, within } from '@testing-library/react';
import * as React from 'react';

import { ApiError } from '../api';
import { addCommands } from '../commands';
import { WorkbenchModel } from '../model';
import type { IAnswer, IObject } from '../tokens';
import { CommandIDs } from '../tokens';
import { VERSION } from '../version';
import { MatrixView } from '../views/matrix';
import { NodesView } from '../views/nodes';
import { ObjectsView } from '../views/objects';
import { FakeApi, NODE_A, NODE_B, id, makeIncomplete, makeObject, makeOperation, makeState, until } from './fixtures';

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

  async function show(state: Partial<IAnswer> = {}): Promise<HTMLElement> {
    api.answer = makeState(state);
    await model.refresh();
    return render(
      <div>
        <NodesView model={model} commands={commands} trans={trans} />
        <ObjectsView model={model} commands={commands} trans={trans} />
      </div>
    ).container;
  }

  const named = (number: number, name: string | null, changes: Partial<IObject> = {}): IObject =>
    makeObject({ id: id(number), name, ...changes });

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
    expect(bar.getAttribute('aria-valuetext')).toBe('960 B of 1000 B, used: 960 B');
    expect(bar.dataset.level).toBe('full');
    expect(screen.getByText('this host, 2 workers')).toBeTruthy();
  });

  it('splits the bar into what the bytes are used for, and lists them when it is opened', async () => {
    const node = {
      ...NODE_B,
      sealed: 300,
      held: 100,
      pooled: 560,
      spilled: 70,
      free: 40,
      heartbeat: Date.now() / 1000
    };
    const container = await show({
      nodes: [node],
      history: {
        [node.id]: [
          [0, 0],
          [120, 960]
        ]
      }
    });
    const parts = [...container.querySelectorAll<HTMLElement>('.wb-Bar-part')];
    expect(parts.map(part => [part.dataset.part, part.style.width])).toEqual([
      ['sealed', '30.00%'],
      ['held', '10.00%'],
      ['pooled', '56.00%']
    ]);
    expect(screen.getByRole('img', { name: 'Used in the last 2 minutes' })).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'node-b' }));
    expect(screen.getByText('deleted, still held').parentElement?.textContent).toBe('deleted, still held100 B');
    expect(screen.getByText('spilled to disk').parentElement?.textContent).toBe('spilled to disk70 B');
    expect(screen.getByText('free').parentElement?.textContent).toBe('free40 B');
    expect(screen.getByText('Last heard of: 1 s ago')).toBeTruthy();
    expect(screen.getByRole('list', { name: 'Workers of node-b' }).textContent).toBe('w3');
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

  it('marks a dataset of which partitions are missing, and says what to do', async () => {
    await show({ objects: [makeIncomplete({ id: id(1), name: 'arr' }), named(2, 'whole')] });
    const row = within(document.querySelector<HTMLElement>('[data-name="arr"]')!);
    const words = row.getByText('1 of 3 partitions');
    expect(words.closest('[data-column]')?.getAttribute('data-column')).toBe('shape');
    expect(words.title).toContain('or have ended with them');
    expect(words.title).toContain('compute the dataset anew, or delete it');
    expect(row.getByRole('img', { name: '1 of 3 partitions' }).title).toBe(words.title);
    expect(document.querySelector('[data-name="whole"] .wb-Missing')).toBeNull();
  });

  it('tells what in a notebook holds an object', async () => {
    const cause = 'Out[3], _ (%wb release clears)';
    const holder = { pid: 5, kind: 'kernel', label: 'work/a.ipynb', since: 0, nbytes: 1, cause };
    await show({ objects: [makeObject({ holders: [holder, { ...holder, pid: 6, cause: '' }] })] });
    const cell = document.querySelector<HTMLElement>('[role="gridcell"][data-column="holders"] .wb-Cell-text');
    expect(cell?.textContent).toBe('a.ipynb+1');
    expect(cell?.title).toBe(`work/a.ipynb (kernel 5): ${cause}\nwork/a.ipynb (kernel 6)`);
  });

  it('shows hostile names as text', async () => {
    const name = '<img src=x onerror=alert(1)>"\'\n\u202e';
    const container = await show({ objects: [makeObject({ name })] });
    expect(container.querySelector('img')).toBeNull();
    expect(rows()).toEqual([name]);
  });

  it('sorts by a click on a head, and tells it to screen readers', async () => {
    await show({ objects: [named(1, 'small', { nbytes: 1 }), named(2, 'large', { nbytes: 2 })] });
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
    await show({ objects: [named(1, 'a'), named(2, 'b'), named(3, 'c')] });
    const [first, second, third] = [...document.querySelectorAll<HTMLElement>('[data-workbench-object]')];
    React.act(() => first.focus());
    fireEvent.keyDown(first, { key: 'ArrowDown' });
    expect(model.selection).toEqual([id(2)]);
    expect(document.activeElement).toBe(second);
    fireEvent.keyDown(second, { key: 'ArrowDown', shiftKey: true });
    expect(model.selection).toEqual([id(2), id(3)]);
    expect(document.activeElement).toBe(third);
    const menu = jest.fn();
    document.addEventListener('contextmenu', menu, { once: true });
    fireEvent.keyDown(third, { key: 'Enter' });
    expect(menu).toHaveBeenCalled();
    expect(model.selection).toHaveLength(2);
    fireEvent.keyDown(third, { key: 'a', ctrlKey: true });
    expect(model.selection).toHaveLength(3);
    expect(screen.getByText('3 objects selected, 192 MiB')).toBeTruthy();
    fireEvent.keyDown(third, { key: 'Escape' });
    expect(model.selection).toEqual([]);
  });

  it('selects with a click, with Ctrl and with Shift', async () => {
    await show({ objects: [named(1, 'a'), named(2, 'b'), named(3, 'c')] });
    const [first, second, third] = [...document.querySelectorAll<HTMLElement>('[data-workbench-object]')];
    fireEvent.click(first);
    fireEvent.click(third, { ctrlKey: true });
    expect(model.selection).toEqual([id(1), id(3)]);
    fireEvent.click(second, { shiftKey: true });
    expect(model.selection).toEqual([id(2), id(3)]);
    expect(second.getAttribute('aria-selected')).toBe('true');
    // A right click on what is selected keeps the selection, elsewhere it selects.
    fireEvent.contextMenu(second);
    expect(model.selection).toHaveLength(2);
    fireEvent.contextMenu(first);
    expect(model.selection).toEqual([id(1)]);
  });

  it('draws only what can be seen of many objects', async () => {
    await show({ objects: Array.from({ length: 10_000 }, (_, at) => named(at, `o${at}`)) });
    expect(rows().length).toBeLessThan(60);
    const grid = screen.getByRole('grid', { name: 'Objects' });
    expect(grid.getAttribute('aria-rowcount')).toBe('10001');
    const first = document.querySelector<HTMLElement>('[data-workbench-object]')!;
    React.act(() => first.focus());
    fireEvent.keyDown(first, { key: 'End' });
    // The row that the keyboard is on is drawn, wherever it is.
    expect((document.activeElement as HTMLElement).dataset.name).toBe('o9999');
    expect(document.activeElement?.getAttribute('aria-rowindex')).toBe('10001');
  });

  it('groups, and opens and closes a group by mouse and keyboard', async () => {
    await show({ objects: [named(1, 'runs/1'), named(2, 'x')] });
    React.act(() => model.arrange({ group: 'prefix' }));
    const head = screen.getByRole('row', { name: /runs/, expanded: true });
    expect(screen.getByRole('treegrid')).toBeTruthy();
    fireEvent.click(head);
    expect(rows()).toEqual(['x']);
    fireEvent.keyDown(document.querySelector('[data-workbench-group="runs/"]')!, { key: 'ArrowRight' });
    expect(rows()).toEqual(['runs/1', 'x']);
  });

  it('chooses columns and grouping in a small dialog', async () => {
    await show();
    const button = screen.getByRole('button', { name: 'Group, sort, columns' });
    fireEvent.click(button);
    fireEvent.click(screen.getByLabelText('Age'));
    fireEvent.click(screen.getByLabelText('Shape'));
    expect(screen.getByRole('columnheader', { name: 'Age' })).toBeTruthy();
    expect(screen.queryByRole('columnheader', { name: 'Shape' })).toBeNull();
    fireEvent.change(screen.getByLabelText('Group by'), { target: { value: 'node' } });
    expect(model.layout.group).toBe('node');
    fireEvent.keyDown(screen.getByLabelText('Group by'), { key: 'Escape' });
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it('lists what is deleted but held, by whom and by what', async () => {
    const kept = { pid: 5, kind: 'kernel', label: 'a.ipynb', since: 0, nbytes: 2048, name: 'old', cause: 'Out[3]' };
    await show({ deleted: [kept] });
    fireEvent.click(screen.getByRole('tab', { name: 'Deleted 1' }));
    const row = document.querySelector('[data-workbench-deleted="old"]');
    expect(row?.textContent).toBe('olda.ipynb (kernel 5)Out[3]2 KiB');
    await React.act(async () => {
      fireEvent.click(screen.getByRole('button', { name: 'Free All' }));
      await until(() => api.calls.includes('free'));
    });
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
    expect(screen.getByText('No store on this host yet')).toBeTruthy();
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
    expect(screen.getByText(/The Dask cluster at tcp:\/\/10.0.0.5:8786 does not answer./)).toBeTruthy();
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

  it('filters, shows chips, and says what is wrong with one', async () => {
    await show({ objects: [named(1, 'a'), named(2, 'b', { pinned: true })] });
    const box = screen.getByRole('combobox');
    fireEvent.change(box, { target: { value: 'pinned:yes size:huge' } });
    expect(rows()).toEqual(['b']);
    const chips = screen.getByRole('list', { name: 'Chips of the filter' });
    expect(within(chips).getByRole('alert').textContent).toBe('“huge” cannot be read as a size; for example size:>1GB');
    expect(box.getAttribute('aria-invalid')).toBe('true');
    fireEvent.click(screen.getByRole('button', { name: 'Remove pinned:yes' }));
    expect(model.layout.filter).toBe('size:huge');
    fireEvent.change(box, { target: { value: 'zebra' } });
    expect(screen.getByText('No object matches the filter.')).toBeTruthy();
    fireEvent.keyDown(box, { key: 'Escape' });
    expect(rows()).toEqual(['a', 'b']);
  });

  it('suggests, and takes what is chosen with the keyboard', async () => {
    await show();
    const box = screen.getByRole('combobox');
    fireEvent.change(box, { target: { value: 'no' } });
    expect(screen.getByRole('option').textContent).toContain('node:');
    fireEvent.change(box, { target: { value: 'node:' } });
    fireEvent.keyDown(box, { key: 'ArrowDown' });
    fireEvent.keyDown(box, { key: 'ArrowDown' });
    expect(box.getAttribute('aria-activedescendant')).toBe('wb-filter-suggestions-1');
    fireEvent.keyDown(box, { key: 'Enter' });
    expect(model.layout.filter).toBe('node:node-b ');
    expect(screen.queryByRole('option')).toBeNull();
  });

  it('says that one may only look, and disables what changes', async () => {
    await show({ permissions: { read: true, write: false, execute: false } });
    expect(screen.getByText('Read-only')).toBeTruthy();
    for (const command of [CommandIDs.pin, CommandIDs.deleteObject, CommandIDs.move, CommandIDs.free]) {
      expect(commands.isEnabled(command, { object: makeObject().id })).toBe(false);
    }
    expect(commands.isEnabled(CommandIDs.copyName, { object: makeObject().id })).toBe(true);
  });

  it('says that one may not even look', async () => {
    api.failure = new ApiError('forbidden', 'Forbidden', 403);
    await model.refresh();
    render(<ObjectsView model={model} commands={commands} trans={trans} />);
    expect(screen.getByText('You may not look at the workbench')).toBeTruthy();
  });

  it('says that versions differ', async () => {
    await show({ versions: { server: '0.2.0', cluster: '0.1.0' } });
    expect(screen.getByText(/The cluster has version 0.1.0/)).toBeTruthy();
    expect(screen.getByText('pip install shm-workbench==0.2.0')).toBeTruthy();
  });

  it('is of the version that its package says', () => {
    expect(VERSION).toBe(jest.requireActual<{ version: string }>('../../package.json').version);
  });
});

describe('the matrix of partitions', () => {
  it('shows which node has which partition, page by page', async () => {
    const api = new FakeApi();
    const all = Array.from({ length: 2500 }, (_, index) => ({
      id: id(index),
      index,
      nbytes: 1024,
      replicas: [{ node: index % 2 ? NODE_A.id : NODE_B.id, state: index === 0 ? 'disk' : 'memory' }]
    }));
    jest
      .spyOn(api, 'partitions')
      .mockImplementation((_, start, stop) => Promise.resolve({ total: 2500, partitions: all.slice(start, stop) }));
    render(<MatrixView api={api} object="x" name="flights" version="1" nodes={[NODE_A, NODE_B]} trans={trans} />);
    expect(await screen.findByText('flights: 2500 partitions')).toBeTruthy();
    expect(screen.getByRole('columnheader', { name: 'node-b (1250)' })).toBeTruthy();
    const first = within(screen.getAllByRole('row')[1]);
    expect(first.getByRole('rowheader').textContent).toBe('0');
    expect(first.getAllByRole('cell').map(cell => cell.textContent)).toEqual(['1 KiB', '', 'disk']);
    expect(screen.getAllByRole('row').length).toBeLessThan(60);
  });

  it('says which partitions are missing or on a lost node', async () => {
    const api = new FakeApi();
    const partitions = [
      { id: id(0), index: 0, nbytes: 1024, replicas: [{ node: NODE_A.id, state: 'memory' }] },
      { id: id(1), index: 1, nbytes: 1024, replicas: [{ node: NODE_B.id, state: 'lost' }] },
      { id: null, index: 2, nbytes: 0, replicas: [] }
    ];
    jest.spyOn(api, 'partitions').mockResolvedValue({ total: 3, partitions });
    render(<MatrixView api={api} object="x" name="arr" version="1" nodes={[NODE_A, NODE_B]} trans={trans} />);
    expect((await screen.findByRole('status')).textContent).toBe('1 missing, 1 on lost nodes');
    const cells = screen
      .getAllByRole('row')
      .slice(1)
      .map(row => within(row).getAllByRole('cell'));
    expect(cells.map(some => some.map(cell => cell.textContent))).toEqual([
      ['1 KiB', 'memory', ''],
      ['1 KiB', '', 'on a lost node'],
      ['missing', '', '']
    ]);
    expect(cells[1][2].title).toContain('Only node-b has this partition, and no worker runs there. Start the node');
    expect(within(cells[2][0]).getByText('missing').title).toContain('No node has this partition.');
  });

  it('says why there is none', async () => {
    const api = new FakeApi();
    jest.spyOn(api, 'partitions').mockRejectedValue(new ApiError('not-found', 'It is gone.', 404));
    render(<MatrixView api={api} object="x" name="flights" version="1" nodes={[]} trans={trans} />);
    expect(await screen.findByText('It is gone.')).toBeTruthy();
  });
});
