/**
 * Of many rows of one height, only those that can be seen are on the page.
 *
 * Covers which rows those are, and that they stay where they are while others come and go above them. The row that the
 * keyboard is on is always on the page, so that it keeps the focus. Read next: `table.tsx`.
 */

import * as React from 'react';

/** Rows that are drawn above and below those that can be seen. */
const MORE = 8;
/** What is assumed where nothing is laid out. */
const SOME_HEIGHT = 600;

export interface IWindow {
  /** Indices of the rows to draw, in order. */
  readonly indices: readonly number[];
  readonly total: number;
  readonly onScroll: () => void;
  readonly show: (index: number) => void;
}

export interface IWindowOptions {
  readonly scroller: React.RefObject<HTMLElement>;
  readonly keys: readonly string[];
  readonly rowHeight: number;
  readonly height: number;
  /** Height of what stays at the top while the rows scroll below it. */
  readonly headHeight: number;
  /** The row that the keyboard is on, or -1. */
  readonly current: number;
  /** Another value scrolls to the top: the rows are others. */
  readonly arrangement: string;
}

export function useWindow(options: IWindowOptions): IWindow {
  const { arrangement, current, headHeight, keys, rowHeight, scroller } = options;
  const height = options.height || SOME_HEIGHT;
  const [top, setTop] = React.useState(0);
  const anchor = React.useRef<{ key: string; index: number } | null>(null);
  const shown = React.useRef(arrangement);

  const onScroll = React.useCallback(() => {
    const next = scroller.current?.scrollTop ?? 0;
    // Whole rows only: a slow scroll draws nothing anew until another row is needed.
    setTop(Math.floor(next / rowHeight) * rowHeight);
  }, [scroller, rowHeight]);

  React.useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) {
      return;
    }
    if (shown.current !== arrangement) {
      shown.current = arrangement;
      element.scrollTop = 0;
    } else if (anchor.current !== null && element.scrollTop > 0) {
      const { index, key } = anchor.current;
      const moved = keys[index] === key ? index : keys.indexOf(key);
      if (moved >= 0 && moved !== index) {
        element.scrollTop += (moved - index) * rowHeight;
      }
    }
    onScroll();
  }, [keys, arrangement, rowHeight, scroller, onScroll]);

  const first = Math.min(Math.floor(top / rowHeight), Math.max(0, keys.length - 1));
  React.useLayoutEffect(() => {
    anchor.current = keys.length > 0 ? { key: keys[first], index: first } : null;
  }, [keys, first]);

  const from = Math.max(0, first - MORE);
  const to = Math.min(keys.length, first + Math.ceil(height / rowHeight) + MORE);
  const indices = Array.from({ length: Math.max(0, to - from) }, (_, offset) => from + offset);
  if (current >= 0 && current < from) {
    indices.unshift(current);
  } else if (current >= to && current < keys.length) {
    indices.push(current);
  }

  const show = (index: number): void => {
    const element = scroller.current;
    if (element === null) {
      return;
    }
    const above = index * rowHeight;
    const room = (element.clientHeight || height) - headHeight;
    if (above < element.scrollTop) {
      element.scrollTop = above;
    } else if (above + rowHeight > element.scrollTop + room) {
      element.scrollTop = above + rowHeight - room;
    }
    onScroll();
  };
  return { indices, total: keys.length * rowHeight, onScroll, show };
}
