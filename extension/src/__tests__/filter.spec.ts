import { idleSeconds, parseFilter, passes, quote } from '../filter';
import { UNTRANSLATED } from '../model';
import { suggest, wordAt } from '../suggest';
import type { IObject } from '../tokens';
import { NODE_A, NODE_B, makeObject, makeState } from './fixtures';

const NOW = 1_000_000;
const CONTEXT = { now: NOW, nodes: ['node-a', 'node-b', 'node-10', 'node-1'], trans: UNTRANSLATED };
const HOLDER = { pid: 77, kind: 'kernel', label: 'work/analysis.ipynb', since: 0, nbytes: 1 };

const table = makeObject({
  name: 'runs/17/scores',
  nbytes: 2_000_000_000,
  created: NOW - 7200,
  last_used: NOW - 4000,
  tags: { project: 'alpha', 'odd key': 'x=y' }
});
const array = makeObject({
  name: 'mask',
  kind: 'array',
  type: 'numpy.ndarray',
  nbytes: 10,
  created: NOW - 60,
  last_used: NOW - 5,
  pinned: true,
  holders: [HOLDER],
  replicas: [
    { node: NODE_A.id, node_name: 'node-1', state: 'disk', nbytes: 1 },
    { node: NODE_B.id, node_name: 'node-b', state: 'cached', nbytes: 1 }
  ]
});
const other = makeObject({ name: null, replicas: [{ node: 'x', node_name: 'node-10', state: 'memory', nbytes: 1 }] });

const found = (filter: string): IObject[] =>
  [table, array, other].filter(object => passes(object, parseFilter(filter, CONTEXT)));

describe('a filter', () => {
  it.each([
    ['', [table, array, other]],
    ['scores', [table]],
    ['RUNS frame', [table]],
    ['node:node-a', [table]],
    ['node:node-1', [array]],
    ['node:node-1*', [array, other]],
    ['node:b', [array]],
    ['node:node-a,node-b', [table, array]],
    ['-node:node-a', [array, other]],
    ['size:>1GB', [table]],
    ['size:<1KiB', [array]],
    ['size:=10', [array]],
    ['size:2GB', [table]],
    ['size:>10 MiB', [table, other]],
    ['size:> 10', [table, other]],
    ['size: <= 1.5 KiB mask', [array]],
    ['-size:>1 GB mask', [array]],
    ['size:<1 GB nothing', []],
    ['size:<100 mask', [array]],
    ['idle:>1 h scores', [table]],
    ['kind:DataFrame', [table, other]],
    ['kind:ndarray,series', [array]],
    ['idle:>1h', [table, other]],
    ['idle:<10s', [array]],
    ['age:<2min', [array]],
    ['holder:analysis', [array]],
    ['holder:77', [array]],
    ['held:no', [table, other]],
    ['pinned:yes', [array]],
    ['state:disk', [array]],
    ['replicas:>1', [array]],
    ['tag:project=al*', [table]],
    ['tag:project', [table]],
    ['tag:"odd key=x=y"', [table]],
    ['tag:toString', []],
    ['name:runs/*', [table]],
    ['name:*scores pinned:no', [table]],
    ['-pinned:yes -name:runs/*', [other]],
    ['NAME:MASK', [array]]
  ])('%s', (filter, expected) => {
    expect(parseFilter(filter, CONTEXT).every(({ error }) => error === null)).toBe(true);
    expect(found(filter)).toEqual(expected);
  });

  it.each([
    ['size:big', '“big” cannot be read as a size; for example size:>1GB'],
    ['size:>', 'Something is missing after the colon; for example size:>1GB'],
    ['idle:>1fortnight', '“1fortnight” cannot be read as a time; for example idle:>1h'],
    ['size:>foo', '“foo” cannot be read as a size; for example size:>1GB'],
    ['replicas:few', '“few” cannot be read as a number; for example replicas:<2'],
    ['pinned:maybe', '“maybe” is neither yes nor no; for example pinned:yes'],
    ['node:mars', 'No node is called “mars”. There are node-a, node-b, node-10, node-1.'],
    ['state:gone', 'A replica is in memory, on disk or cached; for example state:disk'],
    ['sise:>1GB', 'There is no chip “sise:”. There are '],
    ['tag:=x', 'Something is missing after the colon; for example tag:project=a'],
    ['name:', 'Something is missing after the colon; for example name:runs/*']
  ])('%s says what is wrong, and hides nothing', (filter, message) => {
    const [term] = parseFilter(filter, CONTEXT);
    expect(term.error).toContain(message);
    expect(found(filter)).toHaveLength(3);
  });

  it('knows where each term stands, so that one can be taken out', () => {
    const text = ' a  size:>1GB name:"x y" ';
    const terms = parseFilter(text, CONTEXT);
    expect(terms.map(({ start, end }) => text.slice(start, end))).toEqual(['a', 'size:>1GB', 'name:"x y"']);
    expect(parseFilter('size:>1 GB a', CONTEXT).map(term => term.text)).toEqual(['size:>1 GB', 'a']);
    expect(terms[2].value).toBe('x y');
  });

  it('takes a path or an address with a colon for a word', () => {
    expect(parseFilter('tcp://127.0.0.1', CONTEXT)[0]).toMatchObject({ key: null, error: null });
  });

  it('reads what it quotes as it was', () => {
    for (const name of ['a b', 'a"b', 'back\\slash', 'a,b', '\u202eevil', '<b>']) {
      const object = makeObject({ name });
      expect(passes(object, parseFilter(`name:${quote(name)}`, CONTEXT))).toBe(true);
      expect(passes(makeObject({ name: 'zzz' }), parseFilter(`name:${quote(name)}`, CONTEXT))).toBe(false);
    }
  });

  it('calls nothing idle that somebody has mapped', () => {
    expect(idleSeconds(array, NOW)).toBe(0);
    expect(idleSeconds(table, NOW)).toBe(4000);
  });

  it('ends, whatever is typed', () => {
    for (const text of ['"', '-', ':', '::', '-:', 'name:"', '"a" "', '\\', 'name:\\"', '*', 'name:[', 'a:b:c']) {
      expect(() => found(text)).not.toThrow();
    }
  });
});

describe('suggestions', () => {
  const state = makeState({ objects: [table, array, other] });
  const texts = (word: string): string[] => suggest(word, state, UNTRANSLATED).map(({ text }) => text);

  it('are the chips that begin so, then values that occur', () => {
    expect(texts('no')).toEqual(['node:']);
    expect(texts('')).toHaveLength(12);
    expect(texts('node:')).toEqual(['node:node-a', 'node:node-b']);
    expect(texts('-kind:nd')).toEqual(['-kind:ndarray']);
    expect(texts('name:')).toEqual(['name:runs/*']);
    expect(texts('holder:')).toEqual(['holder:analysis.ipynb']);
    expect(texts('pinned:yes')).toEqual([]);
  });

  it('are for the word that the cursor is in', () => {
    expect(wordAt('a node:no b', 9)).toEqual({ start: 2, end: 9, word: 'node:no' });
    expect(wordAt('a node:no b', 5)).toEqual({ start: 2, end: 9, word: 'nod' });
    expect(wordAt('', 0)).toEqual({ start: 0, end: 0, word: '' });
    expect(wordAt('name:"x y" b', 8)).toEqual({ start: 0, end: 10, word: 'name:"x ' });
  });
});
