'use strict';
// Apart from crossfold.cjs because an old Node cannot even parse this.
async function run() {
  const { main } = await import('../dist/cli/main.js');
  const code = await main(process.argv.slice(2));
  // What was given up on, such as a broker that does not answer, may still hold sockets open.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}
void run();
