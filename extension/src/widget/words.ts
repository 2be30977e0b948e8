/** English, for front ends that have no translations of JupyterLab's. */

import type { ITrans } from '../format';

function fill(text: string, values: readonly unknown[]): string {
  return text.replace(/%(\d)/g, (whole, number: string) => {
    const value = values[Number(number) - 1];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : whole;
  });
}

export const english: ITrans = {
  __: (text, ...values) => fill(text, values),
  _n: (text, plural, count, ...values) => fill(count === 1 ? text : plural, [count, ...values])
};
