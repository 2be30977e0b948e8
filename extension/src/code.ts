/**
 * Code that fetches objects, in the language of a notebook: what "Insert Code" and a drop write into a cell.
 *
 * Names of objects are data, never code. R and Julia reach the workbench through the Python that they embed.
 */

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

interface ILanguage {
  readonly head: string;
  readonly fetch: (variable: string, verb: string, key: string) => string;
}

const PYTHON: ILanguage = {
  head: 'import workbench as wb',
  fetch: (variable, verb, key) => `${variable} = wb.${verb}(${literal(key)})`
};

const LANGUAGES: Readonly<Record<string, ILanguage>> = {
  python: PYTHON,
  r: {
    head: 'wb <- reticulate::import("workbench")',
    fetch: (variable, verb, key) => `${variable} <- wb$${verb}(${literal(key)})`
  },
  julia: {
    head: 'using PythonCall\nwb = pyimport("workbench")',
    // A dollar sign begins an interpolation there.
    fetch: (variable, verb, key) => `${variable} = wb.${verb}(${literal(key).replace(/\$/g, '\\$')})`
  }
};

/** The cell for some objects: a dataset is opened (lazy), anything else is mapped; no variable is set twice. */
export function fetchCode(objects: readonly IObject[], language = 'python'): string {
  const { fetch, head } = LANGUAGES[language.toLowerCase()] ?? PYTHON;
  const taken = new Set<string>();
  const lines = objects.map(object => {
    const wanted = identifier(object.name ?? object.kind);
    let variable = wanted;
    for (let count = 2; taken.has(variable); count++) {
      variable = `${wanted}_${count}`;
    }
    taken.add(variable);
    return fetch(variable, object.kind === 'dataset' ? 'open' : 'get', object.name ?? object.id);
  });
  return `${head}\n\n${lines.join('\n')}`;
}
