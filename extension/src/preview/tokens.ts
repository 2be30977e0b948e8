/** What the server tells of the content of an object. Covers types only; read next: `pages.ts`, `view.tsx`. */

import type { IProblem } from '../tokens';

/** Some rows and columns of an object, as text. */
export interface IPreview {
  readonly kind: 'table' | 'array' | 'text' | 'image';
  readonly total_rows: number;
  readonly total_columns: number;
  readonly columns: readonly { readonly name: string; readonly dtype: string }[];
  readonly index: readonly string[];
  /** Null is a missing value. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** Of kind `text`: how the object shows itself; else what is left out, if anything. */
  readonly text?: string;
  /** Of a dataset: bytes of the partitions that only other running nodes have, and that can be brought here. */
  readonly elsewhere?: number;
}

/** What is in a column. */
export interface IColumnSummary {
  readonly name: string;
  readonly dtype: string;
  readonly nulls: number;
  readonly min: string | null;
  readonly max: string | null;
  readonly mean: string | null;
  readonly histogram: { readonly edges: readonly number[]; readonly counts: readonly number[] } | null;
  readonly top: readonly (readonly [string, number])[] | null;
}

export interface ISummary {
  readonly rows: number;
  /** Not all rows were looked at. */
  readonly sampled: boolean;
  readonly columns: readonly IColumnSummary[];
}

/** A part of an object: rows from `start`, columns from `cstart`. */
export interface IWindow {
  readonly start: number;
  readonly stop: number;
  readonly cstart: number;
  readonly cstop: number;
}

/** Each rejects with an error that has a `kind` and a message which can be shown. */
export interface IPreviewApi {
  preview(object: string, window: IWindow): Promise<IPreview>;
  summary(object: string, cstart: number, cstop: number): Promise<ISummary>;
  image(object: string): Promise<Blob>;
}

/** A page of an object, and what is known of it. */
export interface IPage {
  readonly window: IWindow;
  readonly preview: IPreview | null;
  /** Why the page that was asked for last did not come; `preview` is the one before it, if there is one. */
  readonly problem: IProblem | null;
  /** Whether another page is on its way; `preview` is the one before it. */
  readonly loading: boolean;
}
