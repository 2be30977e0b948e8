import { act, cleanup, fireEvent, screen } from '@testing-library/react';

import type { IState } from '../tokens';
import { render } from '../widget/index';
import type { IWidgetModel } from '../widget/transport';
import { english } from '../widget/words';
import { makeObject, makeOperation, makeState } from './fixtures';

// The bundle has the transport in place of these packages (bundle-widget.mjs); so do the tests.
jest.mock('@jupyterlab/services', () => jest.requireActual<object>('../widget/transport'));
jest.mock('@jupyterlab/coreutils', () => jest.requireActual<object>('../widget/transport'));

interface IRequest {
  readonly id: number;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** A kernel in a variable: it answers as soon as it is not busy. */
class FakeKernel implements IWidgetModel {
  asked: IRequest[] = [];
  busy = false;
  state: IState = makeState();
  answers: Record<string, unknown> = {};

  send(content: object): void {
    this.asked.push(content as IRequest);
    if (!this.busy) {
      queueMicrotask(() => this.reply(content as IRequest));
    }
  }

  on(_: string, listener: (content: unknown) => void): void {
    this._listeners.add(listener);
  }

  off(_: string, listener: (content: unknown) => void): void {
    this._listeners.delete(listener);
  }

  reply({ id, path }: IRequest): void {
    const body = path.startsWith('state') ? this.state : this.answers[path];
    const status = body === undefined ? 204 : body instanceof Error ? 409 : 200;
    const answer = body instanceof Error ? { kind: body.name, message: body.message } : body;
    this._listeners.forEach(listener => listener({ id, status, body: answer }));
  }

  get actions(): string[] {
    return this.asked.filter(({ path }) => !path.startsWith('state')).map(({ method, path }) => `${method} ${path}`);
  }

  get listeners(): number {
    return this._listeners.size;
  }

  private readonly _listeners = new Set<(content: unknown) => void>();
}

/** Observers that say at once that what they look at is seen. */
class Seen {
  static all: Seen[] = [];
  constructor(readonly tell: (entries: { isIntersecting: boolean }[]) => void) {
    Seen.all.push(this);
  }
  observe(): void {
    this.tell([{ isIntersecting: true }]);
  }
  disconnect(): void {}
}

/** The answers of the test environment have no body. */
class FakeResponse {
  readonly ok: boolean;
  readonly status: number;
  constructor(
    private readonly _text: string | null,
    init: { status: number }
  ) {
    this.status = init.status;
    this.ok = init.status < 400;
  }
  text(): Promise<string> {
    return Promise.resolve(this._text ?? '');
  }
  json(): Promise<unknown> {
    return Promise.resolve(JSON.parse(this._text ?? 'null'));
  }
}

describe('object browser', () => {
  let kernel: FakeKernel;
  let end: () => void;

  beforeEach(async () => {
    Seen.all = [];
    Object.assign(globalThis, { IntersectionObserver: Seen, Response: FakeResponse });
    kernel = new FakeKernel();
    await settle(() => {
      end = render({ el: document.body, model: kernel });
    });
  });

  afterEach(() => {
    act(() => end());
    cleanup();
    document.body.replaceChildren();
    jest.useRealTimers();
  });

  async function settle(action: () => unknown = () => undefined): Promise<void> {
    await act(async () => {
      action();
      await new Promise(resolve => setTimeout(resolve, 20));
    });
  }

  const row = (): HTMLElement => document.querySelector<HTMLElement>('[data-workbench-object]')!;

  async function choose(command: string): Promise<void> {
    await settle(() => fireEvent.contextMenu(row()));
    await settle(() => fireEvent.click(screen.getByRole('menuitem', { name: command })));
  }

  it('shows the views of the panel with what the kernel says', () => {
    expect(row().textContent).toContain('flights');
    expect(document.querySelectorAll('[data-workbench-node]')).toHaveLength(2);
    expect(document.querySelector('.wb-Browser')?.classList.contains('wb-mod-standalone')).toBe(true);
  });

  it('offers what can be done with an object, and gives the keyboard back', async () => {
    await settle(() => fireEvent.contextMenu(row()));
    const labels = screen.getAllByRole('menuitem').map(item => item.textContent);
    expect(labels).toEqual([
      'Preview',
      'Copy Name',
      'Rename…',
      'Pin',
      'Replicate to Node…',
      'Move to Node…',
      'Drop from Node…',
      'Spill to Disk',
      'Delete…'
    ]);
    expect(document.activeElement?.textContent).toBe('Preview');
    fireEvent.keyDown(document.activeElement!, { key: 'End' });
    expect(document.activeElement?.textContent).toBe('Delete…');
    await settle(() => fireEvent.keyDown(document.activeElement!, { key: 'Escape' }));
    expect(screen.queryByRole('menu')).toBeNull();
    expect(document.activeElement).toBe(row());
  });

  it('shows what is in an object, and goes back to its row', async () => {
    const path = `objects/${makeObject().id}`;
    const page = { kind: 'text', total_rows: 0, total_columns: 0, columns: [], index: [], rows: [], text: '<i>x</i>' };
    kernel.answers[`${path}/preview?start=0&stop=100&cstart=0&cstop=50`] = page;
    await settle(() => row().focus());
    await settle(() => fireEvent.keyDown(row(), { key: 'Enter' }));
    expect(screen.getByLabelText('Content of flights').textContent).toBe('<i>x</i>');
    expect(document.activeElement?.getAttribute('aria-label')).toBe('Back to the list');
    await settle(() => fireEvent.keyDown(document.activeElement!, { key: 'Escape' }));
    expect(screen.queryByLabelText('Content of flights')).toBeNull();
    expect(document.activeElement).toBe(row());
  });

  it('pins at once, and asks the kernel how things are then', async () => {
    const before = kernel.asked.length;
    await choose('Pin');
    expect(kernel.actions).toEqual([`POST objects/${makeObject().id}/pin`]);
    expect(kernel.asked.length).toBeGreaterThan(before + 1);
  });

  it('asks for the node before it replicates, and says when it is done', async () => {
    const operation = makeOperation();
    kernel.answers[`objects/${makeObject().id}/replicate`] = operation;
    await choose('Replicate to Node…');
    expect(kernel.actions).toEqual([]);
    const dialog = screen.getByRole('alertdialog');
    expect(dialog.querySelector('option')?.textContent).toBe('node-b');
    kernel.state = makeState({ version: '2', operations: [{ ...operation, state: 'done' }] });
    await settle(() => fireEvent.submit(dialog));
    expect(kernel.asked.find(({ path }) => path.endsWith('replicate'))?.body).toEqual({ to: [operation.to[0]] });
    expect(screen.getByText('“flights” is on node-b')).toBeTruthy();
  });

  it('deletes only after a question', async () => {
    kernel.answers['objects/delete'] = { deleted: [makeObject().id], failed: [] };
    await choose('Delete…');
    await settle(() => fireEvent.keyDown(screen.getByRole('alertdialog'), { key: 'Escape' }));
    expect(kernel.actions).toEqual([]);
    await choose('Delete…');
    await settle(() => fireEvent.submit(screen.getByRole('alertdialog')));
    expect(kernel.actions).toEqual(['POST objects/delete']);
    expect(screen.getByText('1 object deleted')).toBeTruthy();
  });

  it('asks twice before the last replica goes', async () => {
    const path = `objects/${makeObject().id}/drop`;
    kernel.answers[path] = Object.assign(new Error('last'), { name: 'last-replica' });
    await choose('Drop from Node…');
    await settle(() => fireEvent.submit(screen.getByRole('alertdialog')));
    expect(screen.getByRole('alertdialog').textContent).toContain('the last replica');
    kernel.answers = {};
    await settle(() => fireEvent.submit(screen.getByRole('alertdialog')));
    const sent = kernel.asked.filter(asked => asked.path === path).map(({ body }) => body);
    expect(sent).toMatchObject([{ force: false }, { force: true }]);
  });

  it('says what failed, as text', async () => {
    kernel.answers[`objects/${makeObject().id}/pin`] = new Error('<b>full</b>');
    await choose('Pin');
    expect(screen.getByText('<b>full</b>').dataset.kind).toBe('failed');
  });

  it('says that the kernel is busy, and goes on when it answers', async () => {
    jest.useFakeTimers();
    kernel.busy = true;
    act(() => {
      fireEvent.contextMenu(row());
    });
    act(() => {
      fireEvent.click(screen.getByRole('menuitem', { name: 'Pin' }));
    });
    act(() => {
      jest.advanceTimersByTime(4000);
    });
    expect(screen.getByText('The kernel is busy: this is what was last known.')).toBeTruthy();
    jest.useRealTimers();
    kernel.busy = false;
    await settle(() => kernel.asked.forEach(request => kernel.reply(request)));
    expect(screen.queryByText(/kernel is busy/)).toBeNull();
  });

  it('asks nothing while it is out of sight, and leaves nothing behind', async () => {
    Seen.all.forEach(({ tell }) => tell([{ isIntersecting: false }]));
    const before = kernel.asked.length;
    await settle();
    expect(kernel.asked).toHaveLength(before);
    act(() => end());
    expect(kernel.listeners).toBe(0);
    expect(document.querySelector('.wb-Browser-body')).toBeNull();
  });
});

describe('words', () => {
  it('fills in values, and never a value into a value', () => {
    expect(english.__('%1 of %2', '%2', 3)).toBe('%2 of 3');
    expect(english._n('%1 object', '%1 objects', 1)).toBe('1 object');
    expect(english._n('%1 object on %2', '%1 objects on %2', 2, 'a')).toBe('2 objects on a');
  });
});
