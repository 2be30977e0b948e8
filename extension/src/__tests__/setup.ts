/** What jsdom lacks, and: a complaint on the console fails the test. */

Object.assign(navigator, { clipboard: { writeText: () => Promise.resolve() } });

for (const level of ['error', 'warn'] as const) {
  console[level] = (...texts: unknown[]): void => {
    throw new Error(`console.${level}: ${texts.map(String).join(' ')}`);
  };
}
