import { Option } from 'commander';
import type { ExperimentClient } from '../client/types.ts';
import type { Display } from './progress/display.ts';

export const timelineOption = (): Option =>
  new Option(
    '--timeline <file>',
    'record what every worker does, on one clock, as a trace that ui.perfetto.dev opens (steps, phases, recoveries)',
  );

/** Does something while the timeline of an experiment is recorded, where a file for it was named. */
export async function withTimeline<T>(
  client: ExperimentClient,
  id: string,
  file: string | undefined,
  display: Display,
  work: () => Promise<T>,
): Promise<T> {
  if (file === undefined) return work();
  const recording = await client.recordTimeline(id, file);
  try {
    return await work();
  } finally {
    const { events, left, uncertaintyMs } = await recording.stop();
    const lost = left === 0 ? '' : `, ${left} more found no room`;
    display.say(`timeline: ${file} (${events} entries${lost}; clocks agree to ${uncertaintyMs.toFixed(1)} ms)`);
  }
}
