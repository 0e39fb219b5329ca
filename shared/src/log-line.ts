import { z } from 'zod';

/** A line of a log, as far as it is told apart from others by. */
export const LogLine = z.looseObject({
  level: z.string(),
  time: z.string(),
  service: z.string(),
  msg: z.string().optional(),
  experiment: z.string().optional(),
  job: z.string().optional(),
});
export type LogLine = z.infer<typeof LogLine>;

/** A line that was read from somewhere; undefined where it is none (a crash's stack, half a line). */
export function parseLogLine(text: string): LogLine | undefined {
  try {
    const line = LogLine.safeParse(JSON.parse(text));
    return line.success ? line.data : undefined;
  } catch {
    return undefined;
  }
}
