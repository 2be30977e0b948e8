/**
 * Requests over the widget's own connection with its kernel, in the form in which the panel asks the server.
 *
 * Covers the way there and back; the kernel answers what a server would (`workbench/jupyter/widget/answers.py`). In the
 * widget's bundle this module stands in for `@jupyterlab/services` and `@jupyterlab/coreutils`, which are larger than all
 * the rest and know nothing of kernels' connections.
 */

/** The part of an anywidget model that is used. */
export interface IWidgetModel {
  send(content: object): void;
  on(event: 'msg:custom', listener: (content: unknown) => void): void;
  off(event: 'msg:custom', listener: (content: unknown) => void): void;
}

interface IReply {
  readonly id: number;
  readonly status: number;
  readonly body: unknown;
}

/** Milliseconds after which a kernel that has not answered counts as busy. */
const PATIENCE = 3000;

export class KernelTransport {
  constructor(private readonly _model: IWidgetModel) {
    _model.on('msg:custom', this._onReply);
  }

  /** Is called when the kernel takes long, and when it answers again. */
  onBusy: (busy: boolean) => void = () => undefined;

  /** Ask; the answer is as long in coming as the kernel is busy. */
  fetch(path: string, init: RequestInit): Promise<Response> {
    const id = ++this._count;
    const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : null;
    return new Promise(resolve => {
      const timer = setTimeout(() => this.onBusy(true), PATIENCE);
      this._waiting.set(id, ({ status, body: answer }) => {
        clearTimeout(timer);
        this.onBusy(false);
        const content = isPicture(answer) ? decode(answer.base64) : status === 204 ? null : JSON.stringify(answer);
        const type = isPicture(answer) ? answer.type : 'application/json';
        resolve(new Response(content, { status, headers: { 'Content-Type': type } }));
      });
      this._model.send({ id, method: init.method ?? 'GET', path, body });
    });
  }

  dispose(): void {
    this._model.off('msg:custom', this._onReply);
    this._waiting.clear();
  }

  private readonly _onReply = (content: unknown): void => {
    const reply = content as IReply;
    const settle = this._waiting.get(reply.id);
    this._waiting.delete(reply.id);
    settle?.(reply);
  };

  private _count = 0;
  private readonly _waiting = new Map<number, (reply: IReply) => void>();
}

interface IPicture {
  readonly base64: string;
  readonly type: string;
}

function isPicture(answer: unknown): answer is IPicture {
  return typeof answer === 'object' && answer !== null && 'base64' in answer;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
}

// -- in place of JupyterLab's packages ------------------------------------------------------------------------------------

export const URLExt = {
  join: (...parts: string[]): string => parts.filter(part => part !== '').join('/')
};

export const ServerConnection = {
  makeSettings: (): never => {
    throw new Error('A widget has no server to ask.');
  },
  makeRequest: (url: string, init: RequestInit, settings: { transport: KernelTransport }): Promise<Response> =>
    settings.transport.fetch(url.replace(/^workbench\/api\//, ''), init)
};
