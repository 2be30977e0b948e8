/** Hooks: showing a model's newest state, and what the time is. Nothing here knows JupyterLab. */

import type { ISignal } from '@lumino/signaling';
import * as React from 'react';

/** Draw anew each time that a signal is emitted. */
export function useSignal(signal: ISignal<unknown, unknown>): void {
  const [, update] = React.useReducer((count: number) => count + 1, 0);
  React.useLayoutEffect(() => {
    const slot = (): void => update();
    signal.connect(slot);
    return () => {
      signal.disconnect(slot);
    };
  }, [signal]);
}

/** Seconds since the epoch, a little later from time to time. */
export function useNow(interval: number): number {
  const [now, set] = React.useState(() => Date.now() / 1000);
  React.useEffect(() => {
    const timer = setInterval(() => set(Date.now() / 1000), 1000 * interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}

export interface ISize {
  readonly width: number;
  readonly height: number;
}

/** The size of an element; zero until it is known, and where there is no layout. */
export function useSize(ref: React.RefObject<HTMLElement>): ISize {
  const [size, set] = React.useState<ISize>({ width: 0, height: 0 });
  React.useLayoutEffect(() => {
    const element = ref.current;
    if (element === null || typeof ResizeObserver === 'undefined') {
      return;
    }
    const measure = (): void => {
      const { clientWidth: width, clientHeight: height } = element;
      set(before => (before.width === width && before.height === height ? before : { width, height }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [ref]);
  return size;
}

/** Put a text on the clipboard; where the browser has no such interface, as a user would. */
export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.style.position = 'fixed';
    area.style.opacity = '0';
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}
