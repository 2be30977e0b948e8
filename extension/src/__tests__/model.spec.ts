import { Signal } from '@lumino/signaling';

import { ApiError } from '../api';
import { WorkbenchModel } from '../model';
import type { IObject } from '../tokens';
import { EVENT_SCHEMA } from '../tokens';
import { FakeApi, NODE_A, NODE_B, id, makeObject, makeOperation, makeState, until } from './fixtures';

interface IEvent {
  schema_id: string;
  version?: string;
}

describe('WorkbenchModel', () => {
  let api: FakeApi;
  let bus: Signal<object, IEvent>;
  let model: WorkbenchModel;

  beforeEach(() => {
    api = new FakeApi();
    bus = new Signal<object, IEvent>({});
    model = new WorkbenchModel({ api, events: bus, interval: 60_000, fastInterval: 10, settle: 5 });
  });

  afterEach(() => model.dispose());

  const named = (number: number, name: string | null): IObject => makeObject({ id: id(number), name });
  const names = (): (string | null)[] => model.objects.map(({ name }) => name);

  async function look(): Promise<void> {
    model.active = true;
    await until(() => model.state !== null);
    await model.refresh();
  }

  it('asks nothing while nobody looks', async () => {
    bus.emit({ schema_id: EVENT_SCHEMA, version: '2' });
    await new Promise(resolve => setTimeout(resolve, 40));
    expect(api.calls).toEqual([]);
  });

  it('asks at once when somebody looks, and no more when they look away', async () => {
    await look();
    model.active = false;
    const before = api.calls.length;
    bus.emit({ schema_id: EVENT_SCHEMA, version: '2' });
    await new Promise(resolve => setTimeout(resolve, 40));
    expect(api.calls).toHaveLength(before);
  });

  it('asks for whoever looks elsewhere, until the last of them looks away', async () => {
    const first = model.look();
    const second = model.look();
    await until(() => model.state !== null);
    first.dispose();
    first.dispose();
    api.answer = makeState({ version: '2' });
    bus.emit({ schema_id: EVENT_SCHEMA, version: '2' });
    await until(() => model.state?.version === '2');
    second.dispose();
    const before = api.calls.length;
    bus.emit({ schema_id: EVENT_SCHEMA, version: '3' });
    await new Promise(resolve => setTimeout(resolve, 40));
    expect(api.calls).toHaveLength(before);
  });

  it('answers a burst of events with few questions, and shows the last state', async () => {
    await look();
    const before = api.count('state');
    api.answer = makeState({ version: '2', objects: [] });
    for (let i = 0; i < 50; i++) {
      bus.emit({ schema_id: EVENT_SCHEMA, version: '2' });
    }
    await until(() => model.state?.version === '2');
    expect(api.count('state') - before).toBeLessThanOrEqual(2);
    expect(model.objects).toEqual([]);
  });

  it('shows the first objects at once, and the others when they are there', async () => {
    const whole = makeState({ version: '1', objects: [named(1, 'a'), named(2, 'b')] });
    let answerWhole: (answer: typeof whole) => void = () => undefined;
    const asked: unknown[] = [];
    api.state = (since, how) => {
      asked.push([since, how]);
      return asked.length === 1
        ? Promise.resolve(makeState({ version: '', partial: true, objects: [named(1, 'a')] }))
        : new Promise(resolve => (answerWhole = resolve));
    };
    model.active = true;
    await until(() => asked.length === 2);
    expect(names()).toEqual(['a']);
    expect(model.state?.partial).toBe(true);
    answerWhole(whole);
    await until(() => model.state?.version === '1');
    expect(names()).toEqual(['a', 'b']);
    expect(model.state?.partial).not.toBe(true);
    expect(asked).toEqual([
      [undefined, { first: 100 }],
      [undefined, undefined]
    ]);
  });

  it('asks for what an event told of, and for what is now when somebody wants to know', async () => {
    await look();
    const asked: (string | undefined)[] = [];
    const state = api.state.bind(api);
    api.state = (since, how) => {
      asked.push(how?.told);
      return state(since, how);
    };
    bus.emit({ schema_id: EVENT_SCHEMA, version: '2' });
    bus.emit({ schema_id: EVENT_SCHEMA, version: '3' });
    await until(() => asked.length === 1);
    void model.refresh();
    await model.refresh();
    expect(asked).toEqual(['3', undefined, undefined]);
  });

  it('ignores events of others, and of a version that it has', async () => {
    await look();
    const before = api.calls.length;
    bus.emit({ schema_id: 'https://example.org/other', version: '9' });
    bus.emit({ schema_id: EVENT_SCHEMA, version: '1' });
    await new Promise(resolve => setTimeout(resolve, 40));
    expect(api.calls).toHaveLength(before);
  });

  it('does not tell of an answer that is the same', async () => {
    await look();
    const told = jest.fn();
    model.changed.connect(told);
    await model.refresh();
    expect(told).not.toHaveBeenCalled();
  });

  it('keeps the last state when the server is gone, says why, and recovers', async () => {
    await look();
    api.failure = new ApiError('offline', 'NetworkError');
    await model.refresh();
    expect(model.problem).toEqual({ kind: 'offline', message: 'NetworkError' });
    expect(model.objects).toHaveLength(1);
    api.failure = null;
    await model.refresh();
    expect(model.problem).toBeNull();
  });

  it('forgets the selection when its object is gone', async () => {
    await look();
    model.select(makeObject().id);
    expect(model.find()?.name).toBe('flights');
    api.answer = makeState({ version: '2', objects: [] });
    await model.refresh();
    expect(model.selection).toEqual([]);
    expect(model.find()).toBeUndefined();
  });

  it('asks for what changed since, and puts it in its place', async () => {
    api.answer = makeState({ objects: [named(1, 'a'), named(2, 'c')] });
    await look();
    api.answer = makeState({ version: '2', full: false, removed: [id(1)], objects: [named(3, 'b'), named(4, 'd')] });
    await model.refresh();
    expect(api.since[api.since.length - 1]).toBe('1');
    expect(names()).toEqual(['b', 'c', 'd']);
    expect(model.isFresh(id(3))).toBe(true);
    expect(model.isFresh(id(2))).toBe(false);
  });

  it('judges what changed by the filter', async () => {
    api.answer = makeState({ objects: [named(1, 'a'), named(2, 'b'), named(5, 'a5'), named(6, 'a6'), named(7, 'a7')] });
    await look();
    model.arrange({ filter: 'name:a' });
    expect(names()).toEqual(['a', 'a5', 'a6', 'a7']);
    api.answer = makeState({ version: '2', full: false, objects: [named(1, 'b now')] });
    await model.refresh();
    expect(names()).toEqual(['a5', 'a6', 'a7']);
  });

  it('stands still when it is paused, counts what it does not show, and catches up', async () => {
    api.answer = makeState({ objects: [named(1, 'a')] });
    await look();
    model.paused = true;
    api.answer = makeState({ version: '2', full: false, removed: [id(1)], objects: [named(2, 'b')] });
    await model.refresh();
    expect(names()).toEqual(['a']);
    expect(model.pending).toBe(2);
    expect(model.state?.objects.map(({ name }) => name)).toEqual(['b']);
    model.arrange({ sort: { key: 'nbytes', ascending: true } });
    expect(model.paused).toBe(true);
    model.paused = false;
    expect(names()).toEqual(['b']);
    expect(model.pending).toBe(0);
  });

  it('lists those without a name by themselves, and counts each listing', async () => {
    api.answer = makeState({
      objects: [named(1, 'a'), named(2, null)],
      deleted: [{ pid: 1, kind: 'kernel', label: 'x', since: 0, nbytes: 5 }]
    });
    await look();
    expect(model.counts).toEqual({ objects: 2, unnamed: 1, deleted: 1 });
    model.arrange({ listing: 'unnamed' });
    expect(model.objects.map(object => object.id)).toEqual([id(2)]);
    model.arrange({ listing: 'deleted' });
    expect(model.objects).toEqual([]);
  });

  it('selects ranges of the list as it is shown, and all of it', async () => {
    api.answer = makeState({ objects: [named(1, 'd'), named(2, 'c'), named(3, 'b'), named(4, 'a')] });
    await look();
    model.select(id(4));
    model.select(id(2), 'range');
    expect(model.selection).toEqual([id(4), id(3), id(2)]);
    model.select(id(3), 'toggle');
    expect(model.selection).toEqual([id(4), id(2)]);
    model.arrange({ group: 'node' });
    model.selectAll();
    expect(model.selection).toHaveLength(4);
    model.select(null);
    expect(model.selection).toEqual([]);
  });

  it('opens and closes groups', async () => {
    api.answer = makeState({ objects: [named(1, 'runs/1'), named(2, 'x')] });
    await look();
    model.arrange({ group: 'prefix' });
    expect(model.rows.map(row => row.type)).toEqual(['group', 'object', 'group', 'object']);
    model.toggleGroup(model.rows[0].key);
    expect(model.rows.map(row => row.type)).toEqual(['group', 'group', 'object']);
    model.toggleGroup(model.rows[0].key);
    expect(model.rows).toHaveLength(4);
  });

  it('permits everything where the server does not say, and what it says else', async () => {
    await look();
    expect(model.permissions.write).toBe(true);
    api.answer = makeState({ version: '2', permissions: { read: true, write: false, execute: false } });
    await model.refresh();
    expect(model.permissions).toEqual({ read: true, write: false, execute: false });
  });

  it('glances only once somebody has looked', async () => {
    model.glancing = true;
    bus.emit({ schema_id: EVENT_SCHEMA, version: '2' });
    await new Promise(resolve => setTimeout(resolve, 30));
    expect(api.calls).toEqual([]);
    expect(model.glancing).toBe(false);
    await look();
    model.active = false;
    expect(model.glancing).toBe(true);
  });

  it('offers nodes that run and have no replica as targets', async () => {
    const lost = { ...NODE_B, id: 'c', state: 'lost' };
    api.answer = makeState({ nodes: [NODE_A, NODE_B, lost] });
    await look();
    expect(model.targets(makeObject())).toEqual([NODE_B]);
    const replicas = [NODE_A, NODE_B].map(({ id, name }) => ({
      node: id,
      node_name: name,
      state: 'memory',
      nbytes: 5
    }));
    expect(model.targets(makeObject({ replicas }))).toEqual([]);
    expect(model.targets(makeObject({ replicas, kind: 'dataset' }))).toEqual([NODE_A, NODE_B]);
    expect(model.holding(makeObject())).toEqual([NODE_A]);
  });

  it('names a node that has a replica and is no longer listed', async () => {
    api.answer = makeState({ nodes: [NODE_B] });
    await look();
    expect(model.holding(makeObject())).toMatchObject([{ id: NODE_A.id, name: 'node-a', state: 'lost' }]);
  });

  it('follows an operation to its end, though nobody looks', async () => {
    const seen: number[] = [];
    api.answer = makeState({ operations: [makeOperation({ done_nbytes: 40 })] });
    const end = model.follow(makeOperation(), operation => seen.push(operation.done_nbytes));
    await until(() => seen.length > 1);
    api.answer = makeState({ operations: [makeOperation({ state: 'done', done_nbytes: 100 })] });
    expect((await end).state).toBe('done');
    const before = api.calls.length;
    await new Promise(resolve => setTimeout(resolve, 60));
    expect(api.calls.length - before).toBeLessThanOrEqual(1);
  });

  it('judges an operation that the server forgot by the replicas', async () => {
    api.answer = makeState();
    expect((await model.follow(makeOperation())).state).toBe('failed');
    expect((await model.follow(makeOperation({ id: 'op-2', to: [NODE_A.id] }))).state).toBe('done');
  });

  it('asks once more when it is asked while an answer is on its way', async () => {
    model.active = true;
    const both = [model.refresh(), model.refresh()];
    await Promise.all(both);
    expect(api.count('state')).toBe(2);
  });
});
