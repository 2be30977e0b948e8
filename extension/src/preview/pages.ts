/**
 * The page of an object that is shown, and what is in its columns; without any element of the page.
 *
 * Covers what is asked of the server: one page at a time, never the whole object, and the summary of the columns that are
 * shown. An answer that is late, because somebody has turned the page again, is dropped.
 */

import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import type { IProblem } from '../tokens';
import type { IPage, IPreview, IPreviewApi, ISummary, IWindow } from './tokens';

/** Rows and columns of a page. */
const SIZE = { rows: 100, columns: 50 };

export class PreviewPages {
  constructor(
    private readonly _api: IPreviewApi,
    readonly object: string,
    private readonly _size = SIZE
  ) {
    const { columns, rows } = _size;
    const window = { start: 0, stop: rows, cstart: 0, cstop: columns };
    this._page = { window, preview: null, problem: null, loading: true };
    this._wanted = window;
  }

  /** Emitted when the page, the summary or the picture changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get page(): IPage {
    return this._page;
  }

  /** Of the columns of the page; null until it is known, or where there is none. */
  get summary(): ISummary | null {
    return this._summary;
  }

  /** Why there is no summary. */
  get summaryProblem(): IProblem | null {
    return this._summaryProblem;
  }

  /** The picture of an image-like array, once it is there. */
  get image(): Blob | null {
    return this._image;
  }

  /** Why there is no picture. */
  get imageProblem(): IProblem | null {
    return this._imageProblem;
  }

  /** Show the page that begins with this row and this column, as far as there are so many. */
  async show(row: number, column: number): Promise<void> {
    const preview = this._page.preview;
    const start = clamp(row, preview?.total_rows);
    const cstart = clamp(column, preview?.total_columns);
    const window = { start, stop: start + this._size.rows, cstart, cstop: cstart + this._size.columns };
    const asked = ++this._asked;
    this._wanted = window;
    this._turn({ window, preview, problem: null, loading: true });
    try {
      const answer = await this._api.preview(this.object, window);
      if (asked === this._asked) {
        this._seen = { window, preview: answer, problem: null, loading: false };
        this._turn(this._seen);
        await this._complete(answer, cstart);
      }
    } catch (error) {
      if (asked === this._asked) {
        const problem = asProblem(error);
        // What was seen stays, with a way to turn to other pages.
        this._turn(
          this._seen === null ? { window, preview: null, problem, loading: false } : { ...this._seen, problem }
        );
      }
    }
  }

  /** Ask again for the page that was asked for last. */
  retry(): Promise<void> {
    this._summaryOf = null;
    return this.show(this._wanted.start, this._wanted.cstart);
  }

  dispose(): void {
    this._asked = -1;
    Signal.clearData(this);
  }

  /** Get what is slower than the rows: the picture, and what is in the columns. */
  private async _complete(preview: IPreview, cstart: number): Promise<void> {
    const wanted: Promise<void>[] = [];
    if (preview.kind === 'image' && this._image === null) {
      wanted.push(this._draw());
    }
    if (preview.columns.length > 0 && preview.kind !== 'text' && this._summaryOf !== cstart) {
      wanted.push(this._summarize(cstart));
    }
    await Promise.all(wanted);
  }

  private async _draw(): Promise<void> {
    try {
      this._image = await this._api.image(this.object);
      this._imageProblem = null;
    } catch (error) {
      this._imageProblem = asProblem(error);
    }
    this._changed.emit();
  }

  private async _summarize(cstart: number): Promise<void> {
    this._summaryOf = cstart;
    this._summary = null;
    this._summaryProblem = null;
    try {
      const summary = await this._api.summary(this.object, cstart, cstart + this._size.columns);
      if (this._summaryOf === cstart) {
        this._summary = summary;
        this._changed.emit();
      }
    } catch (error) {
      if (this._summaryOf === cstart) {
        this._summaryProblem = asProblem(error);
        this._changed.emit();
      }
    }
  }

  private _turn(page: IPage): void {
    this._page = page;
    this._changed.emit();
  }

  private _asked = 0;
  private readonly _changed = new Signal<this, void>(this);
  private _image: Blob | null = null;
  private _imageProblem: IProblem | null = null;
  private _page: IPage;
  /** The page that came last. */
  private _seen: IPage | null = null;
  private _summary: ISummary | null = null;
  private _summaryOf: number | null = null;
  private _summaryProblem: IProblem | null = null;
  /** The window that was asked for last, whether or not it came. */
  private _wanted: IWindow;
}

/** A first row or column that there is; a page is not moved so that it is full. */
function clamp(first: number, total: number | undefined): number {
  return Math.max(0, Math.min(Math.floor(first), Math.max(0, (total ?? Infinity) - 1)));
}

function asProblem(error: unknown): IProblem {
  const kind = (error as Partial<IProblem>).kind;
  return {
    kind: typeof kind === 'string' ? kind : 'http',
    message: error instanceof Error ? error.message : String(error)
  };
}

/** The window of rows as people count them: from 1, both ends included. */
export function shown(window: IWindow, preview: IPreview): { first: number; last: number } {
  return { first: Math.min(window.start + 1, preview.total_rows), last: window.start + preview.rows.length };
}
