/**
 * Requests to the workbench's Jupyter server extension.
 *
 * Covers URLs and errors; what is asked when is in `model.ts`. Base URL, token and XSRF cookie are JupyterLab's matter.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { IApi, IOperation, IProblem, IState } from './tokens';

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

  state(): Promise<IState> {
    return this._request<IState>('GET', 'state');
  }

  move(object: string, node: string): Promise<IOperation> {
    return this._request<IOperation>('POST', `objects/${encodeURIComponent(object)}/move`, { to: node });
  }

  replicate(object: string, nodes: readonly string[]): Promise<IOperation> {
    return this._request<IOperation>('POST', `objects/${encodeURIComponent(object)}/replicate`, { to: nodes });
  }

  drop(object: string, node: string, force = false): Promise<void> {
    return this._request<void>('POST', `objects/${encodeURIComponent(object)}/drop`, { node, force });
  }

  delete(object: string): Promise<void> {
    return this._request<void>('DELETE', `objects/${encodeURIComponent(object)}`);
  }

  private async _request<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await ask(this._settings, method, path, body);
    return (response.status === 204 ? undefined : await response.json()) as T;
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
