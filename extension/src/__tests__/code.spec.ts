import { fetchCode, identifier, literal } from '../code';
import { makeObject } from './fixtures';

describe('identifier', () => {
  it.each([
    ['flights', 'flights'],
    ['flights/by carrier', 'flights_by_carrier'],
    ['2013-flights', '_2013_flights'],
    ['class', 'class_'],
    ['wb', 'wb_'],
    ['größe', 'größe'],
    ['"; import os #', 'import_os'],
    ['***', 'obj'],
    ['x'.repeat(10_000), 'x'.repeat(60)]
  ])('of %s is a valid Python name', (name, expected) => {
    expect(identifier(name)).toBe(expected);
  });
});

describe('fetchCode', () => {
  it('maps an object by its name', () => {
    expect(fetchCode([makeObject()])).toBe('import workbench as wb\n\nflights = wb.get("flights")');
  });

  it('opens a dataset', () => {
    expect(fetchCode([makeObject({ kind: 'dataset' })])).toContain('flights = wb.open("flights")');
  });

  it('uses the id of an object without a name', () => {
    const object = makeObject({ name: null, kind: 'array' });
    expect(fetchCode([object])).toContain(`array = wb.get("${object.id}")`);
  });

  it('keeps a hostile name inside the string literal', () => {
    expect(literal('a"\n\\')).toBe('"a\\"\\n\\\\"');
    expect(fetchCode([makeObject({ name: '")\nimport os #' })]).split('\n')).toHaveLength(3);
  });

  it('sets no variable twice', () => {
    const code = fetchCode([makeObject({ name: 'a b' }), makeObject({ name: 'a-b' })]);
    expect(code).toBe('import workbench as wb\n\na_b = wb.get("a b")\na_b_2 = wb.get("a-b")');
  });

  it('speaks the language of the notebook, and Python where it knows no better', () => {
    const objects = [makeObject({ name: 'a$b' })];
    expect(fetchCode(objects, 'R')).toBe('wb <- reticulate::import("workbench")\n\na_b <- wb$get("a$b")');
    expect(fetchCode(objects, 'julia')).toContain('a_b = wb.get("a\\$b")');
    expect(fetchCode(objects, 'brainfuck')).toBe(fetchCode(objects));
  });
});
