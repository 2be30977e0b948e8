/** Python code that fetches an object: what "Insert code" writes into a cell. Names of objects are data, never code. */

import type { IObject } from './tokens';

const KEYWORDS = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from global if ' +
    'import in is lambda nonlocal not or pass raise return try while with yield'
  ).split(' ')
);

/** A valid Python identifier that resembles a name; never a keyword, never `wb`. */
export function identifier(name: string): string {
  const cleaned = name
    .normalize('NFKC')
    .replace(/[^\p{L}\p{Nd}_]+/gu, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 60);
  if (cleaned === '') {
    return 'obj';
  }
  if (KEYWORDS.has(cleaned) || cleaned === 'wb') {
    return `${cleaned}_`;
  }
  return /^\p{L}/u.test(cleaned) ? cleaned : `_${cleaned}`;
}

/** A Python string literal: JSON's escapes are all Python's as well. */
export function literal(text: string): string {
  return JSON.stringify(text);
}

/** The cell for an object: a dataset is opened (lazy), anything else is mapped. */
export function fetchCode(object: IObject): string {
  const verb = object.kind === 'dataset' ? 'open' : 'get';
  const variable = identifier(object.name ?? object.kind);
  return `import workbench as wb\n\n${variable} = wb.${verb}(${literal(object.name ?? object.id)})`;
}
