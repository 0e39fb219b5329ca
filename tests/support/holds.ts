import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive } from '@crossfold/coordinator/cluster/lock';
import { pause } from '@crossfold/shared/wait';
import { z } from 'zod';

const HoldLine = z.looseObject({
  msg: z.literal('failing on purpose'),
  pid: z.int(),
  place: z.looseObject({ position: z.int() }),
});

const never = new AbortController().signal;

/** Workers of an embedded cluster that wait at a step, as `CROSSFOLD_FAULTS` has told them to, until they are let go. */
export class Holds {
  readonly #folder: string;
  readonly #released = new Map<number, number>();

  /** @param folder of the cluster, whose workers' logs say where they wait */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What `CROSSFOLD_FAULTS` is to be for every worker process to wait at these positions of every job. */
  static at(...positions: readonly number[]): string {
    return JSON.stringify(positions.map((position) => ({ at: 'computing', position, do: 'hold', again: true })));
  }

  /**
   * The processes of so many workers that wait at a position, once they do. A group may have begun with fewer: those are
   * let go until the others are with them, and do the step again.
   */
  async reached(position: number, workers: number): Promise<readonly number[]> {
    const patience = 150;
    for (let looks = 1, few = 0; looks < 2400; looks++) {
      const waiting = await this.#waiting();
      const pids = waiting.filter((hold) => hold.position === position).map(({ pid }) => pid);
      this.release(waiting.filter((hold) => hold.position !== position).map(({ pid }) => pid));
      if (pids.length === workers) return pids;
      few = pids.length > 0 ? few + 1 : 0;
      if (few % patience === patience - 1) this.release(pids);
      await pause(50, never);
    }
    throw new Error(`gave up waiting for ${workers} workers to come to step ${position}`);
  }

  release(pids: readonly number[]): void {
    for (const pid of pids) {
      this.#released.set(pid, (this.#released.get(pid) ?? 0) + 1);
      process.kill(pid, 'SIGUSR2');
    }
  }

  /** What a run comes to, with everyone let go who waits, or comes to, until it is over. */
  async passedBy<T>(run: Promise<T>): Promise<T> {
    const over = new AbortController();
    const ended = run.finally(() => over.abort());
    ended.catch(() => undefined);
    while (!over.signal.aborted) {
      this.release((await this.#waiting()).map(({ pid }) => pid));
      await pause(50, over.signal);
    }
    return ended;
  }

  async #waiting(): Promise<{ readonly pid: number; readonly position: number }[]> {
    const logs = join(this.#folder, 'logs');
    const files = (await readdir(logs)).filter((name) => /^worker-\d+\.log$/.test(name));
    const said = new Map<number, number[]>();
    // What follows the last line's end is a line that is being written.
    for (const file of files)
      for (const line of (await readFile(join(logs, file), 'utf8')).split('\n').slice(0, -1)) {
        const hold = line.includes('failing on purpose') ? HoldLine.safeParse(JSON.parse(line)) : undefined;
        if (hold?.success !== true) continue;
        const { pid, place } = hold.data;
        said.set(pid, [...(said.get(pid) ?? []), place.position]);
      }
    return [...said].flatMap(([pid, positions]) => {
      const position = positions[this.#released.get(pid) ?? 0];
      return position === undefined || !isAlive(pid) ? [] : [{ pid, position }];
    });
  }
}
