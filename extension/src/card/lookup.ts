/** Asking the server for one object: one that the state does not hold, because it is a partition or there are too many. */

import type { ServerConnection } from '@jupyterlab/services';

import { ask } from '../api';
import type { IObject } from '../tokens';
import { readObject } from './tokens';

/** Return an object; rejects with an ApiError, of status 404 where nobody knows it. */
export async function lookUp(settings: ServerConnection.ISettings, id: string): Promise<IObject> {
  const response = await ask(settings, 'GET', `objects/${encodeURIComponent(id)}`);
  return readObject((await response.json()) as Readonly<Record<string, unknown>>);
}
