import { Signal } from '@lumino/signaling';

import { ApiError } from '../api';
import { WorkbenchModel } from '../model';
import { EVENT_SCHEMA } from '../tokens';
import { FakeApi, NODE_A, NODE_B, makeObject, makeOperation, makeState, until } from './fixtures';

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
    model.selection = makeObject().id;
    expect(model.find()?.name).toBe('flights');
    api.answer = makeState({ version: '2', objects: [] });
    await model.refresh();
    expect(model.selection).toBeNull();
  });

  it('offers nodes that run and have no replica as targets', async () => {
    const lost = { ...NODE_B, id: 'c', state: 'lost' };
    api.answer = makeState({ nodes: [NODE_A, NODE_B, lost] });
    await look();
    expect(model.targets(makeObject())).toEqual([NODE_B]);
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
