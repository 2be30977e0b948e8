// Bundle the object browser (src/widget, compiled to lib/widget) with React into one ES module, and its styles into one file.
// Called by toolchain.py with the folder to write to. JupyterLab's packages are not in it: see src/widget/transport.ts.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const { rspack } = createRequire(import.meta.url)('@rspack/core');
const folder = process.argv[2];
const transport = join(here, 'lib/widget/transport.js');
const OURS = ['@jupyterlab/coreutils', '@jupyterlab/services'];

const compiler = rspack({
  context: here,
  devtool: false,
  entry: './lib/widget/index.js',
  experiments: { outputModule: true },
  // What would be bundled though it is JupyterLab's is a mistake, not a larger file.
  externals: [
    ({ request }, done) =>
      request?.startsWith('@jupyterlab/') && !OURS.includes(request)
        ? done(new Error(`${request} is not for the widget`))
        : done()
  ],
  mode: 'production',
  module: { parser: { javascript: { exportsPresence: 'error' } } },
  optimization: { splitChunks: false },
  output: { filename: 'browser.js', library: { type: 'module' }, path: folder },
  resolve: { alias: { '@jupyterlab/coreutils$': transport, '@jupyterlab/services$': transport } },
  target: ['web', 'es2020']
});
compiler.run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString({ preset: 'errors-only' }));
    process.exit(1);
  }
  const styles = ['base', 'preview', 'widget', 'standalone'].map(name =>
    readFileSync(join(here, `style/${name}.css`), 'utf8')
  );
  writeFileSync(join(folder, 'browser.css'), styles.join('\n'));
});
