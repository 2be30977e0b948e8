/** Values and a server for the tests. Covers nothing that a user sees. */

import type {
  IAnswer,
  IApi,
  IAsked,
  IDeleted,
  IFreed,
  INode,
  IObject,
  IOperation,
  IPartitions,
  IPlan,
  IPlanRequest
} from '../tokens';

export const NODE_A: INode = {
  id: 'a'.repeat(32),
  name: 'node-a',
  address: 'tcp://127.0.0.1:1',
  workers: ['w1', 'w2'],
  capacity: 1000,
  used: 250,
  state: 'running'
};

export const NODE_B: INode = { ...NODE_A, id: 'b'.repeat(32), name: 'node-b', workers: ['w3'], used: 960 };

export function makeObject(changes: Partial<IObject> = {}): IObject {
  const name = changes.name === undefined ? 'flights' : changes.name;
  return {
    id: '0'.repeat(31) + '1',
    name,
    names: name === null ? [] : [name],
    kind: 'dataframe',
    type: 'pandas.DataFrame',
    shape: [336776, 19],
    dtypes: { year: 'int64' },
    nbytes: 64 * 1024 * 1024,
    shared_nbytes: 0,
    created: 1,
    last_used: 1,
    pinned: false,
    ttl: null,
    tags: {},
    replicas: [{ node: NODE_A.id, node_name: NODE_A.name, state: 'memory', nbytes: 10 }],
    notes: [],
    holders: [],
    ...changes
  };
}

/** A dataset of which two partitions are missing, as the server tells it. */
export function makeIncomplete(changes: Partial<IObject> = {}): IObject {
  const note = '1 of 3 partitions are in reach; the others are on other nodes, or have ended with them';
  return makeObject({
    kind: 'dataset',
    type: 'dask.dataframe.DataFrame',
    shape: [1_000_000, 3],
    notes: ['3 partitions', note],
    ...changes
  });
}

export function makeState(changes: Partial<IAnswer> = {}): IAnswer {
  return {
    version: '1',
    store: { directory: '/dev/shm/workbench', node: NODE_A.id },
    error: null,
    cluster: { state: 'connected', address: 'tcp://127.0.0.1:8786', message: null },
    nodes: [NODE_A, NODE_B],
    objects: [makeObject()],
    operations: [],
    truncated: 0,
    ...changes
  };
}

export function makeOperation(changes: Partial<IOperation> = {}): IOperation {
  return {
    id: 'op-1',
    verb: 'replicate',
    object: makeObject().id,
    name: 'flights',
    to: [NODE_B.id],
    state: 'running',
    done_nbytes: 0,
    total_nbytes: 100,
    error: null,
    ...changes
  };
}

export function makePlan(changes: Partial<IPlan> = {}): IPlan {
  return { nbytes: 100, seconds: 2, evicts: [], refused: null, last_replica: false, ...changes };
}

/** An id that is made of a number. */
export function id(number: number): string {
  return number.toString(16).padStart(32, '0');
}

/** A server in a variable: tests set `answer` (or `failure`) and look at `calls`. */
export class FakeApi implements IApi {
  answer: IAnswer = makeState();
  failure: Error | null = null;
  planned: IPlan = makePlan();
  calls: string[] = [];
  asked: (IAsked | undefined)[] = [];
  since: (string | undefined)[] = [];

  state(since?: string, asked?: IAsked): Promise<IAnswer> {
    this.asked.push(asked);
    this.since.push(since);
    return this._call('state', this.answer);
  }

  plan(object: string, request: IPlanRequest): Promise<IPlan> {
    return this._call(`plan ${object} ${request.verb}`, this.planned);
  }

  planDrain(node: string): Promise<IPlan> {
    return this._call(`plan ${node} drain`, this.planned);
  }

  move(object: string, node: string): Promise<IOperation> {
    return this._call(`move ${object} ${node}`, makeOperation({ verb: 'move', object, to: [node] }));
  }

  replicate(object: string, nodes: readonly string[]): Promise<IOperation> {
    return this._call(`replicate ${object} ${nodes.join(',')}`, makeOperation({ object, to: nodes }));
  }

  drop(object: string, node: string, force = false): Promise<void> {
    return this._call(`drop ${object} ${node} ${force}`, undefined);
  }

  delete(object: string): Promise<void> {
    return this._call(`delete ${object}`, undefined);
  }

  deleteMany(objects: readonly string[]): Promise<IDeleted> {
    return this._call(`deleteMany ${objects.join(',')}`, { deleted: objects, failed: [] });
  }

  pin(object: string, pinned: boolean): Promise<void> {
    return this._call(`${pinned ? 'pin' : 'unpin'} ${object}`, undefined);
  }

  spill(object: string): Promise<void> {
    return this._call(`spill ${object}`, undefined);
  }

  restore(object: string): Promise<void> {
    return this._call(`restore ${object}`, undefined);
  }

  rename(object: string, name: string): Promise<void> {
    return this._call(`rename ${object} ${name}`, undefined);
  }

  save(object: string, url: string): Promise<IOperation | undefined> {
    return this._call(`save ${object} ${url}`, undefined);
  }

  drain(node: string): Promise<readonly IOperation[]> {
    return this._call(`drain ${node}`, []);
  }

  undrain(node: string): Promise<void> {
    return this._call(`undrain ${node}`, undefined);
  }

  cancel(operation: string): Promise<void> {
    return this._call(`cancel ${operation}`, undefined);
  }

  free(): Promise<IFreed> {
    return this._call('free', { freed: 2048, kept: [] });
  }

  partitions(object: string, start: number, stop: number): Promise<IPartitions> {
    return this._call(`partitions ${object} ${start} ${stop}`, { total: 0, partitions: [] });
  }

  count(call: string): number {
    return this.calls.filter(made => made.startsWith(call)).length;
  }

  private _call<T>(call: string, answer: T): Promise<T> {
    this.calls.push(call);
    return this.failure === null ? Promise.resolve(answer) : Promise.reject(this.failure);
  }
}

/** Wait until a condition holds; fails after two seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 2000;
  while (!condition()) {
    if (Date.now() > deadline) {
      throw new Error(`still not true: ${condition.toString()}`);
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
