import { readLayout } from '../layout';
import { segments, sparkline } from '../bytes';
import { NOTHING, choose, prune } from '../selection';
import { NODE_A } from './fixtures';

const ORDER = ['a', 'b', 'c', 'd', 'e'];

describe('a selection', () => {
  it('is one, then a range from it, then another one beside', () => {
    let selection = choose(NOTHING, 'b', 'only', ORDER);
    selection = choose(selection, 'd', 'range', ORDER);
    expect([...selection.keys]).toEqual(['b', 'c', 'd']);
    selection = choose(selection, 'a', 'range', ORDER);
    expect([...selection.keys]).toEqual(['a', 'b']);
    expect(selection.current).toBe('a');
    selection = choose(selection, 'e', 'toggle', ORDER);
    selection = choose(selection, 'a', 'toggle', ORDER);
    expect([...selection.keys]).toEqual(['b', 'e']);
    expect([...choose(selection, 'c', 'only', ORDER).keys]).toEqual(['c']);
  });

  it('loses what is gone, and stays the same value when nothing is', () => {
    const selection = choose(choose(NOTHING, 'b', 'only', ORDER), 'd', 'range', ORDER);
    expect(prune(selection, () => true)).toBe(selection);
    const pruned = prune(selection, key => key !== 'd');
    expect([...pruned.keys]).toEqual(['b', 'c']);
    expect(pruned.current).toBeNull();
    expect(pruned.anchor).toBe('b');
  });
});

describe("a node's bytes", () => {
  it('are counted once, and what remains is free', () => {
    const node = {
      ...NODE_A,
      capacity: 1000,
      used: 600,
      sealed: 300,
      pooled: 100,
      held: 200,
      other: 50,
      spilled: 9999
    };
    expect(segments(node).map(({ part, share }) => [part, share])).toEqual([
      ['sealed', 0.3],
      ['held', 0.2],
      ['pooled', 0.1],
      ['other', 0.05]
    ]);
  });

  it('are used or pooled where the node does not tell more', () => {
    expect(segments({ ...NODE_A, capacity: 0, used: 250, pooled: 50, sealed: null })).toEqual([
      { part: 'used', nbytes: 200, share: 0.8 },
      { part: 'pooled', nbytes: 50, share: 0.2 }
    ]);
  });

  it('make a line over time that stays within its box', () => {
    expect(sparkline([], 100)).toBe('');
    expect(
      sparkline(
        [
          [0, 0],
          [5, 50],
          [10, 200]
        ],
        100
      )
    ).toBe('0.0000,1.0000 0.5000,0.7500 1.0000,0.0000');
  });
});

describe('a saved layout', () => {
  it('is read as far as it makes sense', () => {
    expect(readLayout(undefined)).toEqual({});
    expect(readLayout([1])).toEqual({});
    expect(
      readLayout({
        filter: 'x',
        group: 'planet',
        listing: 'unnamed',
        sort: { key: 'age' },
        columns: ['kind', 'colour']
      })
    ).toEqual({ filter: 'x', listing: 'unnamed', sort: { key: 'age', ascending: true }, columns: ['kind'] });
  });
});
