import type { CommandContext } from './context.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';

interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly found: string;
  readonly remedy?: readonly string[];
}

/** What bin/doctor/doctor.mjs gives; not TypeScript, because it has to run where nothing is built. */
interface Doctor {
  examine(world: { env: NodeJS.ProcessEnv; nats?: string | undefined }): Promise<readonly Finding[]>;
  asText(findings: readonly Finding[], color: boolean): string;
  passes(findings: readonly Finding[]): boolean;
}

// The same from src/ and from dist/.
const doctorModule = new URL('../../bin/doctor/doctor.mjs', import.meta.url).href;

/** `doctor`: what is wrong on a machine. In a checkout bin/crossfold.cjs runs it before this is even loaded. */
export const registerDoctor: Register = (program, context, end) => {
  program
    .command('doctor')
    .summary('look for what is missing on this machine')
    .description(
      'Looks for what Crossfold needs on this machine, and says how to get what is missing. Changes nothing. Exit code 0 when things work, 1 when something has to be mended.',
    )
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('doctor', 'doctor --nats nats://cluster.example:4222'))
    .action(async (options: { readonly nats?: string; readonly json?: boolean }) => {
      const doctor = (await import(doctorModule)) as Doctor;
      const findings = await doctor.examine({ env: context.env, nats: options.nats });
      show(context, doctor, findings, options.json === true);
      end(doctor.passes(findings) ? 0 : 1);
    });
};

function show({ out }: CommandContext, doctor: Doctor, findings: readonly Finding[], json: boolean): void {
  const ready = doctor.passes(findings);
  out.write(json ? `${JSON.stringify({ ready, checks: findings })}\n` : doctor.asText(findings, out.isTTY === true));
}
