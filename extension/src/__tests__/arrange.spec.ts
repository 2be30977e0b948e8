import { arrange, group, rearrange } from '../arrange';
import { apply } from '../delta';
import type { IObject, ISort } from '../tokens';
import { id, makeObject, makeState } from './fixtures';

const BY_NAME: ISort = { key: 'name', ascending: true };

const named = (number: number, name: string | null, changes: Partial<IObject> = {}): IObject =>
  makeObject({ id: id(number), name, ...changes });

describe('rearrange', () => {
  it('gives what arranging anew gives, whatever came, changed and went', () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    let objects = Array.from({ length: 60 }, (_, at) => named(at, `o${random(40)}`, { nbytes: random(5) }));
    for (const sort of [BY_NAME, { key: 'nbytes', ascending: false }] as const) {
      let listed = arrange(objects, [], sort);
      for (let round = 0; round < 60; round++) {
        const changed = new Set(Array.from({ length: 1 + random(5) }, () => id(random(80))));
        objects = objects.filter(object => !changed.has(object.id));
        for (const each of changed) {
          if (random(3) > 0) {
            objects = [...objects, makeObject({ id: each, name: `o${random(40)}`, nbytes: random(5) })];
          }
        }
        listed = rearrange(listed, objects, changed, [], sort);
        expect(listed).toEqual(arrange(objects, [], sort));
      }
    }
  });

  it('of ten thousand objects takes no longer than a frame', () => {
    const objects = Array.from({ length: 10_000 }, (_, at) => named(at, `object ${at}`));
    const listed = arrange(objects, [], BY_NAME);
    const news = [...objects, named(10_000, 'object 5000b')];
    const result = rearrange(listed, news, new Set([id(10_000)]), [], BY_NAME);
    expect(result).toHaveLength(10_001);
    expect(result[5001].name).toBe('object 5000b');
  });
});

describe('groups', () => {
  const holder = { pid: 5, kind: 'kernel', label: 'work/a.ipynb', since: 0, nbytes: 1 };
  const objects = [
    named(1, 'runs/1', { nbytes: 10, holders: [holder, { ...holder, pid: 6 }] }),
    named(2, 'runs/2', { nbytes: 20 }),
    named(3, 'plain', { kind: 'dataset' }),
    named(4, null, {
      replicas: [
        { node: 'a', node_name: 'node-a', state: 'memory', nbytes: 1 },
        { node: 'b', node_name: 'node-b', state: 'memory', nbytes: 1 }
      ]
    })
  ];
  const outline = (grouping: 'prefix' | 'node' | 'notebook' | 'dataset', closed: string[] = []): unknown[] =>
    group(objects, grouping, new Set(closed)).map(row =>
      row.type === 'group' ? [row.label, row.count] : (row.object.name ?? 'unnamed')
    );

  it('are made of what stands before the first slash', () => {
    expect(outline('prefix')).toEqual([['runs/', 2], 'runs/1', 'runs/2', [null, 2], 'plain', 'unnamed']);
  });

  it('have an object for each of its nodes, under keys of their own', () => {
    expect(outline('node')).toEqual([['node-a', 4], 'runs/1', 'runs/2', 'plain', 'unnamed', ['node-b', 1], 'unnamed']);
    const keys = group(objects, 'node', new Set()).map(row => row.key);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('are made of notebooks and datasets', () => {
    expect(outline('notebook')).toEqual([['a.ipynb', 1], 'runs/1', [null, 3], 'runs/2', 'plain', 'unnamed']);
    expect(outline('dataset')).toEqual([['plain', 1], 'plain', [null, 3], 'runs/1', 'runs/2', 'unnamed']);
  });

  it('hide what is in them when they are closed, and say how much that is', () => {
    expect(outline('prefix', ['prefix:runs/'])).toEqual([['runs/', 2], [null, 2], 'plain', 'unnamed']);
    expect(group(objects, 'prefix', new Set())[0]).toMatchObject({ nbytes: 30, open: true });
  });
});

describe('a delta', () => {
  const before = apply(null, makeState({ objects: [named(1, 'a'), named(2, 'b'), named(3, 'c')] })).state;

  it('changes, adds and removes, and leaves the others as they are', () => {
    const answer = { full: false, removed: [id(3)], objects: [named(4, 'd'), named(2, 'B')], version: '2' };
    const { state, changed } = apply(before, makeState(answer));
    expect(state.objects.map(({ name }) => name)).toEqual(['d', 'a', 'B']);
    expect(state.objects[1]).toBe(before.objects[0]);
    expect(changed).toEqual(new Set([id(2), id(3), id(4)]));
    expect(state.version).toBe('2');
    expect(state).not.toHaveProperty('removed');
  });

  it('without objects keeps the very list', () => {
    const { state, changed } = apply(before, makeState({ full: false, objects: [], removed: [] }));
    expect(state.objects).toBe(before.objects);
    expect(changed?.size).toBe(0);
  });

  it('that is no delta replaces everything, but values that are equal stay the same', () => {
    const { state, changed } = apply(before, makeState({ full: true, objects: [named(1, 'a'), named(9, 'z')] }));
    expect(changed).toBeNull();
    expect(state.objects.map(({ name }) => name)).toEqual(['a', 'z']);
    expect(state.objects[0]).toBe(before.objects[0]);
  });
});
