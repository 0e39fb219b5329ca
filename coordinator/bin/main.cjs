'use strict';
// Apart from crossfold.cjs because an old Node cannot even parse this.
async function run() {
  const { main } = await import('../dist/cli/main.js');
  process.exitCode = await main(process.argv.slice(2));
}
void run();
