import { nullTranslator } from '@jupyterlab/translation';
import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import * as React from 'react';

import { ApiError } from '../api';
import { PreviewPages } from '../preview/pages';
import type { IColumnSummary, IPreview, IPreviewApi, ISummary, IWindow } from '../preview/tokens';
import { PreviewView } from '../preview/view';
import { makeIncomplete, makeObject } from './fixtures';

const trans = nullTranslator.load('test');
const ID = makeObject().id;

function column(name: string, changes: Partial<IColumnSummary> = {}): IColumnSummary {
  return { name, dtype: 'int64', nulls: 0, min: '1', max: '9', mean: '4.5', histogram: null, top: null, ...changes };
}

/** A table of a million rows and 120 columns in a variable, that remembers what it was asked. */
class FakeTable implements IPreviewApi {
  asked: string[] = [];
  failure: Error | null = null;
  summaryFailure: Error | null = null;
  answer: Partial<IPreview> = {};
  columns = 12;
  rows = 1_000_000;

  preview(_: string, { start, stop, cstart, cstop }: IWindow): Promise<IPreview> {
    this.asked.push(`rows ${start}-${stop} columns ${cstart}-${cstop}`);
    if (this.failure !== null) {
      return Promise.reject(this.failure);
    }
    const rows = range(start, Math.min(stop, this.rows));
    const columns = range(cstart, Math.min(cstop, this.columns));
    return Promise.resolve({
      kind: 'table',
      total_rows: this.rows,
      total_columns: this.columns,
      columns: columns.map(x => ({ name: `c${x}`, dtype: x === 0 ? 'object' : 'int64' })),
      index: rows.map(String),
      rows: rows.map(y => columns.map(x => (x === 1 && y === 2 ? null : `${y}/${x}`))),
      ...this.answer
    });
  }

  summary(_: string, cstart: number, cstop: number): Promise<ISummary> {
    this.asked.push(`summary ${cstart}-${cstop}`);
    if (this.summaryFailure !== null) {
      return Promise.reject(this.summaryFailure);
    }
    const histogram = { edges: [0, 1, 2, 3], counts: [1, 0, 4] };
    const columns = range(cstart, Math.min(cstop, this.columns)).map(x =>
      x === 0
        ? column('c0', { min: null, max: null, mean: null, top: [['<b>AA</b>', 250_000]] })
        : column(`c${x}`, { min: '0.05834194922268229', nulls: x === 1 ? 30_000 : 0, histogram })
    );
    return Promise.resolve({ rows: 1_000_000, sampled: false, columns });
  }

  image(): Promise<Blob> {
    return Promise.resolve(new Blob(['png'], { type: 'image/png' }));
  }
}

function range(start: number, stop: number): number[] {
  return Array.from({ length: Math.max(0, stop - start) }, (_, at) => start + at);
}

describe('preview', () => {
  let api: FakeTable;
  let pages: PreviewPages;

  beforeEach(() => {
    Element.prototype.scrollIntoView = jest.fn();
    URL.createObjectURL = jest.fn(() => 'blob:picture');
    URL.revokeObjectURL = jest.fn();
    api = new FakeTable();
    pages = new PreviewPages(api, ID, { rows: 10, columns: 5 });
  });

  afterEach(() => {
    cleanup();
    pages.dispose();
  });

  async function settle(action?: () => unknown): Promise<void> {
    await act(async () => {
      action?.();
      await new Promise(resolve => setTimeout(resolve, 0));
    });
  }

  async function show(): Promise<void> {
    render(<PreviewView label="flights" object={makeObject()} gone={false} pages={pages} trans={trans} />);
    await settle(() => pages.show(0, 0));
  }

  const focused = (): string | undefined => (document.activeElement as HTMLElement).dataset.cell;
  const text = (): string | null => screen.getAllByRole('status')[0].textContent;

  it('shows a page of rows, and asks for no more', async () => {
    await show();
    const grid = screen.getByRole('grid', { name: 'flights' });
    expect(grid.getAttribute('aria-rowcount')).toBe('1000001');
    expect(grid.getAttribute('aria-colcount')).toBe('13');
    expect(screen.getAllByRole('gridcell')).toHaveLength(50);
    expect(api.asked).toEqual(['rows 0-10 columns 0-5', 'summary 0-5']);
    expect(text()).toBe('Rows 1 – 10 of 1,000,000');
    expect(screen.getByLabelText('missing').dataset.cell).toBe('2,1');
  });

  it('says in the head of a column what is in it', async () => {
    await show();
    const heads = screen.getAllByRole('columnheader');
    expect(heads[0].textContent).toContain('<b>AA</b> 25 %');
    expect(heads[1].textContent).toContain('30,000 missing (3 %)');
    expect(heads[1].querySelector('.wb-Grid-range')?.textContent).toBe('0.05834 … 9');
    expect(heads[1].querySelector('svg')?.getAttribute('aria-label')).toBe(
      'Distribution: smallest 0.05834194922268229, mean 4.5, largest 9'
    );
    const heights = [...heads[1].querySelectorAll('rect')].map(bar => Number(bar.getAttribute('height')));
    expect(heights).toEqual([6, 0, 24]);
  });

  it('turns pages of rows and of columns, and goes to a row', async () => {
    await show();
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Rows after' })));
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Last rows' })));
    expect(text()).toBe('Rows 999,991 – 1,000,000 of 1,000,000');
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Rows after' }).disabled).toBe(true);
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Columns after' })));
    const input = screen.getByRole('textbox', { name: 'Go to row' });
    fireEvent.change(input, { target: { value: '5000001' } });
    await settle(() => fireEvent.submit(input.closest('form')!));
    expect(api.asked.filter(asked => asked.startsWith('rows')).slice(1)).toEqual([
      'rows 10-20 columns 0-5',
      'rows 999990-1000000 columns 0-5',
      'rows 999990-1000000 columns 5-10',
      'rows 999999-1000009 columns 5-10'
    ]);
    expect(api.asked.filter(asked => asked.startsWith('summary'))).toEqual(['summary 0-5', 'summary 5-10']);
  });

  it('goes from cell to cell by the arrow keys, and over the end of the page', async () => {
    await show();
    const region = screen.getByRole('region', { name: 'Content of flights' });
    region.focus();
    fireEvent.keyDown(region, { key: 'ArrowDown' });
    expect(focused()).toBe('0,0');
    for (const key of ['ArrowDown', 'ArrowRight', 'ArrowUp', 'ArrowUp', 'ArrowLeft', 'ArrowLeft']) {
      fireEvent.keyDown(document.activeElement!, { key });
    }
    expect(focused()).toBe('0,0');
    await settle(() => fireEvent.keyDown(document.activeElement!, { key: 'PageDown' }));
    expect(focused()).toBe('10,0');
    await settle(() => fireEvent.keyDown(document.activeElement!, { key: 'ArrowUp' }));
    expect(focused()).toBe('9,0');
    await settle(() => fireEvent.keyDown(document.activeElement!, { key: 'End', ctrlKey: true }));
    expect(focused()).toBe('999999,11');
    await settle(() => fireEvent.keyDown(document.activeElement!, { key: 'ArrowDown' }));
    expect(focused()).toBe('999999,11');
  });

  it('drops an answer that comes after somebody has turned the page again', async () => {
    const answers: (() => void)[] = [];
    const preview = api.preview.bind(api);
    api.preview = (id, window) => new Promise(resolve => answers.push(() => resolve(preview(id, window))));
    render(<PreviewView label="flights" object={null} gone={false} pages={pages} trans={trans} />);
    await settle(() => {
      void pages.show(0, 0);
      void pages.show(200, 0);
    });
    await settle(() => answers[1]());
    await settle(() => answers[0]());
    expect(text()).toBe('Rows 201 – 210 of 1,000,000');
  });

  it('says why there is no preview, and tries again', async () => {
    api.failure = new ApiError('object-elsewhere', 'Only node-2 has it. Replicate it here.', 409);
    await show();
    expect(screen.getByRole('alert').textContent).toContain('Only node-2 has it. Replicate it here.');
    api.failure = null;
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Try Again' })));
    expect(screen.getByRole('grid')).toBeTruthy();
  });

  it('offers to bring an object here that is elsewhere, and then shows it', async () => {
    api.failure = new ApiError('elsewhere', 'Only node-2 has it.', 409);
    const bring = jest.fn(() => {
      api.failure = null;
      return Promise.resolve();
    });
    render(<PreviewView label="flights" object={null} gone={false} pages={pages} trans={trans} bring={bring} />);
    await settle(() => pages.show(0, 0));
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Replicate to This Host' })));
    expect(screen.getByRole('grid')).toBeTruthy();
  });

  it('offers nothing where nothing can be brought', async () => {
    api.failure = new ApiError('out-of-reach', "Partition 0 of 'arr' is on no running node.", 409);
    const bring = jest.fn(() => Promise.resolve());
    const view = { label: 'arr', object: makeIncomplete(), gone: false, pages, trans, bring };
    render(<PreviewView {...view} />);
    await settle(() => pages.show(0, 0));
    expect(screen.getByRole('alert').textContent).toContain('is on no running node');
    expect(screen.queryByRole('button', { name: /Replicate/ })).toBeNull();
    expect(screen.getByText('1 of 3 partitions').title).toContain('Start the nodes that have them');
  });

  it('offers to bring the partitions that only other nodes have, beside those that are here', async () => {
    api.answer = { text: '3 of 4 partitions are on this host.', elsewhere: 2048 };
    const bring = jest.fn(() => {
      api.answer = {};
      return Promise.resolve();
    });
    render(<PreviewView label="arr" object={null} gone={false} pages={pages} trans={trans} bring={bring} />);
    await settle(() => pages.show(0, 0));
    expect(screen.getByText('3 of 4 partitions are on this host.')).toBeTruthy();
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Replicate to This Host (2 KiB)' })));
    expect(bring).toHaveBeenCalledTimes(1);
    expect(screen.queryByText('3 of 4 partitions are on this host.')).toBeNull();
    expect(screen.queryByRole('button', { name: /Replicate/ })).toBeNull();
  });

  it('keeps the page that is seen when others cannot be shown, and brings them here', async () => {
    const bring = jest.fn(() => {
      api.failure = null;
      return Promise.resolve();
    });
    render(<PreviewView label="flights" object={null} gone={false} pages={pages} trans={trans} bring={bring} />);
    await settle(() => pages.show(0, 0));
    api.failure = new ApiError('elsewhere', 'Partition 5, which has these rows, is not on this host.', 409);
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Last rows' })));
    expect(screen.getByRole('alert').textContent).toContain('These rows cannot be shown');
    expect(text()).toBe('Rows 1 – 10 of 1,000,000');
    expect(screen.getAllByRole('gridcell')).toHaveLength(50);
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Replicate to This Host' })));
    expect(text()).toBe('Rows 999,991 – 1,000,000 of 1,000,000');
    expect(screen.queryByRole('alert')).toBeNull();

    api.failure = new ApiError('preview-timeout', 'It took too long.', 409);
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Rows before' })));
    expect(screen.getByRole('alert').textContent).toContain('It took too long.');
    expect(screen.queryByRole('button', { name: 'Replicate to This Host' })).toBeNull();
    api.failure = null;
    await settle(() => fireEvent.click(screen.getByRole('button', { name: 'Rows before' })));
    expect(text()).toBe('Rows 999,981 – 999,990 of 1,000,000');
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('tells of a sample only what is true of the whole', async () => {
    const summary = api.summary.bind(api);
    api.summary = async (id, start, stop) => ({ ...(await summary(id, start, stop)), rows: 100_000, sampled: true });
    await show();
    expect(screen.getAllByRole('columnheader')[1].textContent).toContain('about 30 % missing');
    expect(screen.getByText('Summed up from 100,000 rows.')).toBeTruthy();
  });

  it('shows the rows though the columns could not be summed up', async () => {
    api.summaryFailure = new ApiError('too-large', 'It took too long.', 413);
    await show();
    expect(screen.getAllByRole('gridcell')).toHaveLength(50);
    expect(screen.getByText('The columns could not be summed up: It took too long.')).toBeTruthy();
  });

  it('shows other objects as text, and text as text', async () => {
    api.answer = { kind: 'text', columns: [], rows: [], index: [], text: '{"a": <img src=x>}' };
    await show();
    expect(document.querySelector('img')).toBeNull();
    expect(screen.getByLabelText('Content of flights').textContent).toBe('{"a": <img src=x>}');
    expect(api.asked).toHaveLength(1);
  });

  it('shows an image-like array as a picture, with its values', async () => {
    api.answer = { kind: 'image' };
    await show();
    expect(screen.getByRole('img', { name: 'flights as a picture' }).getAttribute('src')).toBe('blob:picture');
    expect(screen.getByRole('grid')).toBeTruthy();
    cleanup();
    expect(URL.revokeObjectURL).toHaveBeenCalledWith('blob:picture');
  });

  it('says that an object was deleted, and keeps what it shows', async () => {
    render(<PreviewView label="flights" object={null} gone pages={pages} trans={trans} />);
    await settle(() => pages.show(0, 0));
    expect(screen.getByText('deleted')).toBeTruthy();
    expect(screen.getByRole('grid')).toBeTruthy();
  });
});
