const jestJupyterLab = require('@jupyterlab/testutils/lib/jest-config');

const esModules = [
  '@codemirror',
  '@jupyter',
  '@jupyterlab',
  '@microsoft',
  'exenv-es6',
  'lib0',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
];

const base = jestJupyterLab(__dirname);

module.exports = {
  ...base,
  reporters: ['default'],
  setupFiles: [...base.setupFiles, '<rootDir>/src/__tests__/setup.ts'],
  testRegex: 'src/__tests__/.*\\.spec\\.tsx?$',
  transform: {
    ...base.transform,
    // Types are checked by `tsc -p tsconfig.test.json` (make lint); here they only cost time.
    '^.+\\.tsx?$': ['ts-jest', { tsconfig: './tsconfig.test.json', diagnostics: false }]
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esModules.join('|')})/)`]
};
