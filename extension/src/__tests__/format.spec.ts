import { arrange } from '../arrange';
import { parseFilter } from '../filter';
import {
  formatBytes,
  formatDtypes,
  formatDuration,
  formatShape,
  fraction,
  holderLabel,
  objectLabel,
  typeLabel,
  isolate
} from '../format';
import { UNTRANSLATED } from '../model';
import { NODE_B, makeObject } from './fixtures';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [10 * 1024, '10 KiB'],
    [1023 * 1024, '1 MiB'],
    [64 * 1024 ** 2, '64 MiB'],
    [1024 ** 3, '1 GiB'],
    [1.25 * 1024 ** 4, '1.3 TiB'],
    [5000 * 1024 ** 5, '5000 PiB']
  ])('%d bytes are %s', (nbytes, text) => {
    expect(formatBytes(nbytes)).toBe(text);
  });
});

describe('labels', () => {
  it('write shapes as people do', () => {
    expect(formatShape([336776, 19])).toBe('336,776 × 19');
    expect(formatShape([])).toBe('()');
    expect(formatShape(null)).toBe('');
  });

  it('shorten the id of an object without a name', () => {
    expect(objectLabel(makeObject({ name: null, id: '0123456789abcdef0123456789abcdef' }))).toBe('01234567…cdef');
  });

  it('take the last part of a path or a type, and never nothing', () => {
    const holder = { pid: 7, kind: 'kernel', label: 'work/a.ipynb', since: 0, nbytes: 0 };
    expect(holderLabel(holder)).toBe('a.ipynb');
    expect(holderLabel({ ...holder, label: '' })).toBe('kernel 7');
    expect(typeLabel(makeObject())).toBe('DataFrame');
    expect(typeLabel(makeObject({ type: '' }))).toBe('dataframe');
  });

  it('tell how long ago something was, in one unit', () => {
    const texts = [0.2, 59, 90, 5400, 200_000, -5].map(seconds => formatDuration(seconds, UNTRANSLATED));
    expect(texts).toEqual(['now', '59 s', '2 min', '2 h', '2 d', 'now']);
  });

  it('count the dtypes of a table, and name the one of an array', () => {
    expect(formatDtypes({ '': 'float64' })).toBe('float64');
    expect(formatDtypes({ a: 'int64', b: 'str', c: 'str' })).toBe('2 str, 1 int64');
    expect(formatDtypes({})).toBe('');
  });

  it('keep parts of nothing and more than all within bounds', () => {
    expect(fraction(1, 0)).toBe(0);
    expect(fraction(3, 2)).toBe(1);
  });
});

describe('arrange', () => {
  const small = makeObject({ id: '1', name: 'b', nbytes: 1, replicas: [] });
  const large = makeObject({ id: '2', name: 'a10', nbytes: 9 });
  const other = makeObject({
    id: '3',
    name: 'a9',
    nbytes: 9,
    replicas: [{ node: NODE_B.id, node_name: 'node-b', state: 'disk', nbytes: 9 }]
  });
  const names = (filter: string, key: 'name' | 'nbytes', ascending = true): (string | null)[] =>
    arrange([small, large, other], parseFilter(filter, { now: 0, nodes: [], trans: UNTRANSLATED }), {
      key,
      ascending
    }).map(object => object.name);

  it('sorts numbers in names by value', () => {
    expect(names('', 'name')).toEqual(['a9', 'a10', 'b']);
    expect(names('', 'name', false)).toEqual(['b', 'a10', 'a9']);
  });

  it('keeps equal objects in the order of their names, either way', () => {
    expect(names('', 'nbytes')).toEqual(['b', 'a9', 'a10']);
    expect(names('', 'nbytes', false)).toEqual(['a9', 'a10', 'b']);
  });

  it('wants each word of the filter, in any field', () => {
    expect(names('NODE-B a', 'name')).toEqual(['a9']);
    expect(names('node-b zebra', 'name')).toEqual([]);
  });
});

describe('isolate', () => {
  it('leaves a name alone that has one direction', () => {
    expect(isolate('runs/1 – Überfahrt 飛行 🚀')).toBe('runs/1 – Überfahrt 飛行 🚀');
  });

  it.each([
    ['letters from right to left', 'טיסות', '\u2068טיסות\u2069'],
    ['an override that nobody ends', '\u202egnp.exe', '\u2068\u202egnp.exe\u2069'],
    ['an isolate that nobody ends', 'a\u2067b', '\u2068a\u2067b\u2069\u2069'],
    ['the end of an isolate that nobody began', '\u202ea\u2069b', '\u2068\u202eab\u2069'],
    ['an isolate of its own', 'a\u2066b\u2069c', '\u2068a\u2066b\u2069c\u2069'],
    ['more than one paragraph', 'א\nב\u2029ג', '\u2068א ב ג\u2069']
  ])('ends %s with the name', (_, name, isolated) => {
    expect(isolate(name)).toBe(isolated);
  });
});
