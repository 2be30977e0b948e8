/** Values and a server for the tests. Covers nothing that a user sees. */

import type { IApi, INode, IObject, IOperation, IState } from '../tokens';

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
    pinned: false,
    replicas: [{ node: NODE_A.id, node_name: NODE_A.name, state: 'memory', nbytes: 10 }],
    notes: [],
    holders: [],
    ...changes
  };
}

export function makeState(changes: Partial<IState> = {}): IState {
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

/** A server in a variable: tests set `answer` (or `failure`) and look at `calls`. */
export class FakeApi implements IApi {
  answer: IState = makeState();
  failure: Error | null = null;
  calls: string[] = [];

  state(): Promise<IState> {
    return this._call('state', this.answer);
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
