/** The head of a column: name, type, missing values, and how the values are spread. */

import * as React from 'react';

import type { ITrans } from '../format';
import type { IColumnSummary } from './tokens';

interface IProps {
  /** Number of the column, from 1, the index included. */
  readonly at: number;
  readonly column: { readonly name: string; readonly dtype: string };
  readonly rows: number;
  readonly summary: IColumnSummary | null;
  /** How many rows the summary is of, where it is not all. */
  readonly sampled: number | null;
  readonly trans: ITrans;
}

const WIDTH = 96;
const HEIGHT = 24;

export function ColumnHead({ at, column, rows, sampled, summary, trans }: IProps): JSX.Element {
  return (
    <th scope="col" role="columnheader" aria-colindex={at} data-column={column.name}>
      <div className="wb-Grid-name" title={column.name}>
        {column.name}
      </div>
      <div className="wb-Grid-dtype">
        <bdi>{column.dtype}</bdi>
        {summary !== null && summary.nulls > 0 && (
          <span className="wb-Grid-nulls">{missing(summary.nulls, rows, sampled, trans)}</span>
        )}
      </div>
      {summary !== null && <Spread summary={summary} total={sampled ?? rows} trans={trans} />}
    </th>
  );
}

/** Of a sample only the part is true of the whole. */
function missing(nulls: number, rows: number, sampled: number | null, trans: ITrans): string {
  const of = sampled ?? rows;
  const percent = (100 * nulls) / Math.max(of, 1);
  const text =
    percent < 0.1 ? '< 0.1' : percent > 99.9 && nulls < of ? '> 99.9' : percent.toFixed(percent < 10 ? 1 : 0);
  const part = text.replace(/\.0$/, '');
  return sampled === null
    ? trans.__('%1 missing (%2 %)', nulls.toLocaleString('en-US'), part)
    : trans.__('about %1 % missing', part);
}

function Spread(props: { summary: IColumnSummary; total: number; trans: ITrans }): JSX.Element {
  const { summary, total, trans } = props;
  const { histogram, max, mean, min, top } = summary;
  const words = [
    min !== null && trans.__('smallest %1', min),
    mean !== null && trans.__('mean %1', mean),
    max !== null && trans.__('largest %1', max)
  ].filter(Boolean);
  const range = min !== null && max !== null ? trans.__('%1 … %2', short(min), short(max)) : null;
  return (
    <div className="wb-Grid-spread" title={words.join('\n')}>
      {histogram !== null && (
        <Histogram counts={histogram.counts} label={trans.__('Distribution: %1', words.join(', '))} />
      )}
      {histogram === null && top !== null && <Top top={top} total={total} trans={trans} />}
      {range !== null && <div className="wb-Grid-range">{range}</div>}
    </div>
  );
}

/** A number with many digits after the point, with four that count; all of them are in the tooltip. */
function short(text: string): string {
  return /^-?\d*\.\d{4,}(e[-+]?\d+)?$/i.test(text) ? String(Number(Number(text).toPrecision(4))) : text;
}

/** Bars that are as high as the counts; the label says in words what they show. */
export function Histogram({ counts, label }: { counts: readonly number[]; label: string }): JSX.Element {
  const highest = Math.max(1, ...counts);
  const width = WIDTH / Math.max(1, counts.length);
  return (
    <svg
      className="wb-Histogram"
      role="img"
      aria-label={label}
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
    >
      {counts.map((count, at) => {
        // What is there is seen, however little it is.
        const height = count === 0 ? 0 : Math.max(1, (HEIGHT * count) / highest);
        return <rect key={at} x={at * width} y={HEIGHT - height} width={Math.max(0.5, width - 1)} height={height} />;
      })}
    </svg>
  );
}

/** The commonest values, each with its part of all. */
function Top(props: { top: readonly (readonly [string, number])[]; total: number; trans: ITrans }): JSX.Element {
  const { top, total, trans } = props;
  const some = top.slice(0, 2);
  const all = top.map(([value, count]) => trans.__('%1: %2', value, count.toLocaleString('en-US')));
  return (
    <ul className="wb-Grid-top" title={all.join('\n')}>
      {some.map(([value, count], at) => (
        <li key={at}>
          <bdi>{value}</bdi> <span>{trans.__('%1 %', Math.round((100 * count) / Math.max(1, total)))}</span>
        </li>
      ))}
    </ul>
  );
}
