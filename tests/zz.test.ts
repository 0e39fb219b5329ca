import { cpSync, rmSync } from 'node:fs';
import { it } from 'vitest';
import { FaultCases } from './support/fault-cases.ts';

it('x', async () => {
  const cases = await FaultCases.start();
  try {
    const run = cases.run(process.env.V as never, process.env.P as never);
    console.log(
      await Promise.race([
        run.then(
          (r) => r.record.state,
          (e) => String(e),
        ),
        new Promise((r) => setTimeout(r, Number(process.env.T ?? 30000), 'timeout')),
      ]),
      await cases.faults(),
    );
  } finally {
    rmSync('/tmp/zz-logs', { recursive: true, force: true });
    cpSync(cases.services.folder, '/tmp/zz-logs', { recursive: true });
    await cases.close();
  }
}, 200000);
