'use strict';
// Apart from crossfold.cjs because an old Node cannot even parse this.
async function run() {
  const { command } = await import('./doctor/doctor.mjs');
  process.exitCode = await command(process.argv.slice(3));
}
void run();
