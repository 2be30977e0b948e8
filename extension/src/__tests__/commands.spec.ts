import { Dialog, Notification } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';

import { ApiError } from '../api';
import { addCommands } from '../commands';
import { WorkbenchModel } from '../model';
import type { IOperation } from '../tokens';
import { CommandIDs } from '../tokens';
import { FakeApi, NODE_A, NODE_B, id, makeObject, makeOperation, makePlan, makeState, until } from './fixtures';

const ID = makeObject().id;

describe('commands', () => {
  let api: FakeApi;
  let model: WorkbenchModel;
  let commands: CommandRegistry;

  beforeEach(async () => {
    api = new FakeApi();
    model = new WorkbenchModel({ api, fastInterval: 10 });
    commands = new CommandRegistry();
    addCommands({
      commands,
      model,
      trans: nullTranslator.load('test'),
      notebooks: null as INotebookTracker | null,
      openPanel: () => undefined
    });
    await model.refresh();
    model.select(ID);
  });

  afterEach(() => {
    model.dispose();
    Notification.dismiss();
    Dialog.flush();
  });

  const notices = (): string[] => Notification.manager.notifications.map(({ type, message }) => `${type}: ${message}`);

  /** Answer the dialog that is open. */
  async function press(label: string): Promise<string> {
    await until(() => document.querySelector('.jp-Dialog-footer button') !== null);
    const buttons = [...document.querySelectorAll<HTMLButtonElement>('.jp-Dialog-footer button')];
    const button = buttons.find(candidate => candidate.textContent === label);
    if (button === undefined) {
      throw new Error(`no button ${label} among ${buttons.map(other => other.textContent).join(', ')}`);
    }
    await until(() => !/^$|Working out/.test(document.querySelector('.jp-Dialog-body')?.textContent ?? ''));
    const text = document.querySelector('.jp-Dialog-body')?.textContent ?? '';
    button.click();
    await until(() => !button.isConnected);
    return text;
  }

  /** Have objects of these numbers. */
  async function have(numbers: number[]): Promise<void> {
    const objects = numbers.map(each => makeObject({ id: id(each), name: `o${each}` }));
    api.answer = makeState({ version: '2', objects });
    await model.refresh();
  }

  it('each describe their arguments', async () => {
    expect(commands.listCommands().length).toBeGreaterThan(20);
    for (const id of commands.listCommands()) {
      const { args } = await commands.describedBy(id);
      expect(args).toMatchObject({ type: 'object' });
    }
  });

  it.each([
    ['lies in the catalog', { inline: true }, 'Spill to Disk (so small that it lies in the catalog)'],
    ['is pinned', { pinned: true }, 'Spill to Disk (pinned)'],
    [
      'is mapped',
      { holders: [{ pid: 1, kind: 'kernel', label: 'a/b.ipynb', path: null, since: 0, nbytes: 1 }] },
      'Spill to Disk (mapped by b.ipynb)'
    ]
  ])('do not offer to spill what %s, and say why', async (_, changes, label) => {
    expect(commands.label(CommandIDs.spill)).toBe('Spill to Disk');
    expect(commands.isEnabled(CommandIDs.spill)).toBe(true);
    api.answer = makeState({ version: '2', objects: [makeObject(changes)] });
    await model.refresh();
    expect(commands.isEnabled(CommandIDs.spill)).toBe(false);
    expect(commands.isVisible(CommandIDs.spill)).toBe(true);
    expect(commands.label(CommandIDs.spill)).toBe(label);
    expect(label).toContain(commands.caption(CommandIDs.spill));
    await commands.execute(CommandIDs.spill);
    expect(api.count('spill')).toBe(0);
    // One of several that can be spilled is.
    api.answer = makeState({ version: '3', objects: [makeObject(changes), makeObject({ id: id(7) })] });
    await model.refresh();
    await commands.execute(CommandIDs.spill, { objects: [ID, id(7)] });
    expect(api.calls.filter(call => call.startsWith('spill'))).toEqual([`spill ${id(7)}`]);
  });

  it('do not offer to pin what only another node has', async () => {
    const replicas = [{ node: NODE_B.id, node_name: NODE_B.name, state: 'memory' as const, nbytes: 10 }];
    api.answer = makeState({ version: '2', objects: [makeObject({ replicas })] });
    await model.refresh();
    expect(commands.isEnabled(CommandIDs.pin)).toBe(false);
    expect(commands.label(CommandIDs.pin)).toBe('Pin (only on node-b)');
    expect(commands.isVisible(CommandIDs.spill)).toBe(false);
  });

  it('are disabled without an object, and where there is no other node', async () => {
    expect(commands.isEnabled(CommandIDs.replicate)).toBe(true);
    expect(commands.isEnabled(CommandIDs.insertCode)).toBe(false);
    api.answer = makeState({ version: '2', nodes: [NODE_A] });
    await model.refresh();
    expect(commands.isEnabled(CommandIDs.move)).toBe(false);
    expect(commands.isEnabled(CommandIDs.deleteObject)).toBe(true);
    model.select(null);
    expect(commands.isEnabled(CommandIDs.deleteObject)).toBe(false);
    expect(commands.isEnabled(CommandIDs.deleteObject, { object: ID })).toBe(true);
  });

  it('replicate asks for the node, follows the operation and says that it is done, in one notice', async () => {
    api.answer = makeState({ version: '2', operations: [makeOperation()] });
    const done = commands.execute(CommandIDs.replicate);
    await press('Replicate');
    await until(() => notices().includes('in-progress: Replicating “flights” to node-b'));
    api.answer = makeState({ version: '3', operations: [makeOperation({ state: 'done', done_nbytes: 100 })] });
    await done;
    expect(api.calls).toContain(`replicate ${ID} ${NODE_B.id}`);
    expect(notices()).toEqual(['success: “flights” has a replica on node-b']);
  });

  it('move says why it failed, in the words of the server', async () => {
    const error = { kind: 'store-full', message: 'node-b is full' };
    api.answer = makeState({ version: '2', operations: [makeOperation({ state: 'failed', error })] });
    await commands.execute(CommandIDs.move, { object: ID, to: NODE_B.id });
    expect(api.calls).toContain(`move ${ID} ${NODE_B.id}`);
    expect(notices()).toEqual(['error: Moving “flights” to node-b failed: node-b is full']);
  });

  it('drop asks twice before the last replica goes', async () => {
    const drop = jest.spyOn(api, 'drop');
    drop.mockRejectedValueOnce(new ApiError('last-replica', 'the last one', 409)).mockResolvedValueOnce(undefined);
    const done = commands.execute(CommandIDs.drop);
    await press('Drop');
    await press('Destroy Object');
    await done;
    expect(drop.mock.calls).toEqual([
      [ID, NODE_A.id],
      [ID, NODE_A.id, true]
    ]);
    expect(notices()).toEqual(['success: “flights” was dropped from node-a']);
  });

  it('drop keeps the last replica when the user thinks better of it', async () => {
    const drop = jest.spyOn(api, 'drop').mockRejectedValueOnce(new ApiError('last-replica', 'the last one', 409));
    const done = commands.execute(CommandIDs.drop, { node: NODE_A.id });
    await press('Cancel');
    await done;
    expect(drop).toHaveBeenCalledTimes(1);
    expect(notices()).toEqual([]);
  });

  it('delete asks first', async () => {
    let done = commands.execute(CommandIDs.deleteObject);
    await press('Cancel');
    await done;
    expect(api.count('delete')).toBe(0);
    done = commands.execute(CommandIDs.deleteObject);
    await press('Delete');
    await done;
    expect(api.calls).toContain(`delete ${ID}`);
    expect(notices()).toEqual(['success: “flights” was deleted']);
  });

  it('act on all that are selected, with one question and one notice', async () => {
    await have([1, 2, 3]);
    model.selectAll();
    const done = commands.execute(CommandIDs.deleteObject);
    expect(await press('Delete')).toContain('3 objects (192 MiB) will be gone from every node: “o1”, “o2”, “o3”');
    await done;
    expect(api.calls).toContain(`deleteMany ${id(1)},${id(2)},${id(3)}`);
    expect(notices()).toEqual(['success: 3 objects were deleted']);
  });

  it('move several, and tell their progress as one', async () => {
    await have([1, 2]);
    const operations = (state: 'running' | 'done', done_nbytes: number): IOperation[] =>
      [1, 2].map(each => makeOperation({ id: `op-${each}`, object: id(each), verb: 'move', state, done_nbytes }));
    jest.spyOn(api, 'move').mockImplementation(object => {
      const at = object === id(1) ? 0 : 1;
      return Promise.resolve(operations('running', 0)[at]);
    });
    api.answer = { ...api.answer, version: '3', operations: operations('running', 50) };
    const done = commands.execute(CommandIDs.move, { objects: [id(1), id(2)], to: NODE_B.id });
    await until(() => Notification.manager.notifications[0]?.options.progress === 0.5);
    api.answer = { ...api.answer, version: '4', operations: operations('done', 100) };
    await done;
    expect(notices()).toEqual(['success: 2 objects are on node-b']);
  });

  it('ask when something would have to make room, though the node is given', async () => {
    api.planned = makePlan({
      evicts: [{ node: 'node-b', name: 'old', id: id(9), nbytes: 2048, what: 'spill' }]
    });
    const done = commands.execute(CommandIDs.replicate, { to: NODE_B.id });
    expect(await press('Cancel')).toContain('node-b: old is spilled to disk (2 KiB)');
    await done;
    expect(api.count('replicate')).toBe(0);
  });

  it('say how large it is, how long it takes, and that it would be refused', async () => {
    api.planned = makePlan({ nbytes: 4096, seconds: 90, refused: { kind: 'store-full', message: 'node-b is full' } });
    const done = commands.execute(CommandIDs.move);
    const text = await press('Cancel');
    expect(text).toContain('4 KiB, about 2 min');
    expect(text).toContain('Refused: node-b is full');
    await done;
  });

  it('cancel a running operation from its notice', async () => {
    api.answer = makeState({ version: '2', operations: [makeOperation()] });
    const done = commands.execute(CommandIDs.replicate, { to: NODE_B.id });
    await until(() => (Notification.manager.notifications[0]?.options.actions ?? []).length > 0);
    await until(() => api.count('replicate') > 0);
    Notification.manager.notifications[0].options.actions?.[0].callback(new MouseEvent('click'));
    await until(() => api.calls.includes('cancel op-1'));
    api.answer = makeState({ version: '3', operations: [makeOperation({ state: 'cancelled' })] });
    await done;
    expect(notices()).toEqual(['warning: Replicating “flights” to node-b: cancelled']);
  });

  it('undo a move: the replicas are where they were', async () => {
    const moved = makeObject({ replicas: [{ node: NODE_B.id, node_name: 'node-b', state: 'memory', nbytes: 1 }] });
    api.answer = makeState({
      version: '2',
      objects: [moved],
      operations: [makeOperation({ verb: 'move', state: 'done' })]
    });
    await commands.execute(CommandIDs.move, { object: ID, to: NODE_B.id });
    const [notice] = Notification.manager.notifications;
    expect(notice.options.actions?.map(({ label }) => label)).toEqual(['Undo']);
    notice.options.actions?.[0].callback(new MouseEvent('click'));
    await until(() => notices().includes('success: “flights” is where it was'));
    expect(api.calls).toContain(`replicate ${ID} ${NODE_A.id}`);
    expect(api.calls).toContain(`drop ${ID} ${NODE_B.id} false`);
  });

  it('pin, and undo it', async () => {
    await commands.execute(CommandIDs.pin);
    expect(api.calls).toContain(`pin ${ID}`);
    api.answer = makeState({ version: '2', objects: [makeObject({ pinned: true })] });
    await model.refresh();
    expect(commands.isVisible(CommandIDs.pin)).toBe(false);
    expect(commands.isVisible(CommandIDs.unpin)).toBe(true);
    Notification.manager.notifications[0].options.actions?.[0].callback(new MouseEvent('click'));
    await until(() => api.calls.includes(`unpin ${ID}`));
  });

  it('rename asks for the name, and is called off by an empty one', async () => {
    const done = commands.execute(CommandIDs.rename);
    await until(() => document.querySelector('.jp-Dialog input') !== null);
    document.querySelector<HTMLInputElement>('.jp-Dialog input')!.value = 'departures';
    await press('Rename');
    await done;
    expect(api.calls).toContain(`rename ${ID} departures`);
    expect(notices()).toEqual(['success: “flights” is now called “departures”']);
  });

  it('delete all unnamed objects but pinned ones, naming the sum', async () => {
    api.answer = makeState({
      version: '2',
      objects: [
        makeObject({ id: id(1), name: null, nbytes: 1024 }),
        makeObject({ id: id(2), name: null, nbytes: 1024 }),
        makeObject({ id: id(3), name: null, pinned: true })
      ]
    });
    await model.refresh();
    const done = commands.execute(CommandIDs.deleteUnnamed);
    expect(await press('Delete All')).toContain('2 objects without a name, 2 KiB in all');
    await done;
    expect(api.calls).toContain(`deleteMany ${id(1)},${id(2)}`);
  });

  it('free says what was given back, and who keeps the rest', async () => {
    const kept = [{ pid: 1, kind: 'kernel', label: 'work/a.ipynb', cause: 'Out[2]' }];
    jest.spyOn(api, 'free').mockResolvedValue({ freed: 2048, kept });
    await commands.execute(CommandIDs.free);
    expect(notices()).toEqual(['success: 2 KiB were given back. The rest is free when these let go: a.ipynb (Out[2])']);
  });

  it('drain a node after a question', async () => {
    expect(commands.isEnabled(CommandIDs.drain)).toBe(false);
    const done = commands.execute(CommandIDs.drain, { node: NODE_B.id });
    expect(await press('Drain')).toContain('What only node-b has is brought to other nodes');
    await done;
    expect(api.calls).toContain(`drain ${NODE_B.id}`);
  });

  it('save tells the server where to', async () => {
    await commands.execute(CommandIDs.save, { url: '/tmp/x.wb' });
    expect(api.calls).toContain(`save ${ID} /tmp/x.wb`);
    expect(notices()).toEqual(['success: “flights” was saved to /tmp/x.wb']);
  });
});
