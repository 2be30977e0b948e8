/** Requests for what is in an object. Covers URLs only; that the answers are made by a helper process is the server's matter. */

import type { ServerConnection } from '@jupyterlab/services';

import { ask } from '../api';
import type { IPreview, IPreviewApi, ISummary, IWindow } from './tokens';

export class PreviewApi implements IPreviewApi {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  async preview(object: string, { start, stop, cstart, cstop }: IWindow): Promise<IPreview> {
    const query = `start=${start}&stop=${stop}&cstart=${cstart}&cstop=${cstop}`;
    return (await (await this._get(object, `preview?${query}`)).json()) as IPreview;
  }

  async summary(object: string, cstart: number, cstop: number): Promise<ISummary> {
    return (await (await this._get(object, `summary?cstart=${cstart}&cstop=${cstop}`)).json()) as ISummary;
  }

  async image(object: string): Promise<Blob> {
    return (await this._get(object, 'image')).blob();
  }

  private _get(object: string, what: string): Promise<Response> {
    return ask(this._settings, 'GET', `objects/${encodeURIComponent(object)}/${what}`);
  }
}
