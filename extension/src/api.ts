/**
 * Requests to the workbench's Jupyter server extension.
 *
 * Covers URLs and errors; what is asked when is in `model.ts`. Base URL, token and XSRF cookie are JupyterLab's matter.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  IAnswer,
  IApi,
  IAsked,
  IDeleted,
  IFreed,
  IOperation,
  IPartitions,
  IPlan,
  IPlanRequest,
  IProblem
} from './tokens';

/** A request that failed; `kind` is the error's name in Python's error tree, or one of `offline`, `missing`, `http`. */
export class ApiError extends Error implements IProblem {
  constructor(
    readonly kind: string,
    message: string,
    readonly status: number = 0
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export class WorkbenchApi implements IApi {
  constructor(private readonly _settings: ServerConnection.ISettings = ServerConnection.makeSettings()) {}

  state(since?: string, asked: IAsked = {}): Promise<IAnswer> {
    const { first, told } = asked;
    const query = Object.entries({ since, told, first: first?.toString() }).flatMap(([key, value]) =>
      value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`]
    );
    return this._request<IAnswer>('GET', `state${query.length === 0 ? '' : '?'}${query.join('&')}`);
  }

  plan(object: string, request: IPlanRequest): Promise<IPlan> {
    return this._post<IPlan>(of(object, 'plan'), request);
  }

  planDrain(node: string): Promise<IPlan> {
    return this._post<IPlan>(`nodes/${encodeURIComponent(node)}/plan`, { verb: 'drain' });
  }

  move(object: string, node: string): Promise<IOperation> {
    return this._post<IOperation>(of(object, 'move'), { to: node });
  }

  replicate(object: string, nodes: readonly string[]): Promise<IOperation> {
    return this._post<IOperation>(of(object, 'replicate'), { to: nodes });
  }

  drop(object: string, node: string, force = false): Promise<void> {
    return this._post<void>(of(object, 'drop'), { node, force });
  }

  delete(object: string): Promise<void> {
    return this._request<void>('DELETE', of(object));
  }

  deleteMany(objects: readonly string[]): Promise<IDeleted> {
    return this._post<IDeleted>('objects/delete', { ids: objects });
  }

  pin(object: string, pinned: boolean): Promise<void> {
    return this._post<void>(of(object, pinned ? 'pin' : 'unpin'), {});
  }

  spill(object: string): Promise<void> {
    return this._post<void>(of(object, 'spill'), {});
  }

  restore(object: string): Promise<void> {
    return this._post<void>(of(object, 'restore'), {});
  }

  rename(object: string, name: string): Promise<void> {
    return this._post<void>(of(object, 'rename'), { name });
  }

  save(object: string, url: string): Promise<IOperation | undefined> {
    return this._post<IOperation | undefined>(of(object, 'save'), { url });
  }

  async drain(node: string): Promise<readonly IOperation[]> {
    const answer = await this._post<IOperation | readonly IOperation[] | undefined>(
      `nodes/${encodeURIComponent(node)}/drain`,
      {}
    );
    return answer === undefined ? [] : 'id' in answer ? [answer] : answer;
  }

  undrain(node: string): Promise<void> {
    return this._post<void>(`nodes/${encodeURIComponent(node)}/undrain`, {});
  }

  cancel(operation: string): Promise<void> {
    return this._post<void>(`operations/${encodeURIComponent(operation)}/cancel`, {});
  }

  free(): Promise<IFreed> {
    return this._post<IFreed>('deleted/free', {});
  }

  partitions(object: string, start: number, stop: number): Promise<IPartitions> {
    return this._request<IPartitions>('GET', `${of(object, 'partitions')}?start=${start}&stop=${stop}`);
  }

  private _post<T>(path: string, body: object): Promise<T> {
    return this._request<T>('POST', path, body);
  }

  private async _request<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await ask(this._settings, method, path, body);
    const text = response.status === 204 ? '' : await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
}

/** Ask the server extension; rejects with an ApiError unless the answer is a success. */
export async function ask(
  settings: ServerConnection.ISettings,
  method: string,
  path: string,
  body?: object
): Promise<Response> {
  const url = URLExt.join(settings.baseUrl, 'workbench/api', path);
  const init: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch (error) {
    throw new ApiError('offline', error instanceof Error ? error.message : String(error));
  }
  if (!response.ok) {
    throw await failure(response);
  }
  return response;
}

/** The path of an object, or of something about it. */
function of(object: string, what?: string): string {
  return ['objects', encodeURIComponent(object), ...(what === undefined ? [] : [what])].join('/');
}

/** Turn an answer that is an error into one: ours say `kind` and `message`, a proxy's or Jupyter's own may say anything. */
async function failure(response: Response): Promise<ApiError> {
  const { status, statusText } = response;
  try {
    const answer = (await response.json()) as Partial<IProblem>;
    if (typeof answer.kind === 'string') {
      return new ApiError(answer.kind, answer.message ?? statusText, status);
    }
    const kind = status === 404 ? 'missing' : 'http';
    return new ApiError(kind, answer.message ?? statusText, status);
  } catch {
    return new ApiError(status === 404 ? 'missing' : 'http', `${status} ${statusText}`.trim(), status);
  }
}
