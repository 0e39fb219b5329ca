import cliProgress from 'cli-progress';
import type { Count, OnProgress } from '../../data/count-progress.ts';
import { countText } from '../../data/count-progress.ts';
import type { Output } from '../context.ts';
import { barOptions, lineAbove } from './bars.ts';
import { duration } from './text.ts';

/**
 * Shows how far something is that is counted, with the time that it still takes: a bar on a terminal, lines elsewhere.
 * Whatever comes of the work, the terminal is left as it was found.
 *
 * @throws whatever the work throws
 */
export async function showingCounts<T>(
  output: Output,
  now: () => number,
  work: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const withEta = etas(now);
  if (!output.isTTY)
    return work((news) => {
      if (typeof news === 'string') output.write(`${news}\n`);
      else {
        const text = withEta(news);
        if (news.isMilestone) output.write(`${text}\n`);
      }
    });
  const multi = new cliProgress.MultiBar(barOptions(output), cliProgress.Presets.shades_classic);
  let bar: cliProgress.SingleBar | undefined;
  try {
    return await work((news) => {
      if (typeof news === 'string') {
        if (bar === undefined) output.write(`${news}\n`);
        else multi.log(lineAbove(news));
        return;
      }
      const text = { text: withEta(news) };
      bar ??= multi.create(news.total, 0, text);
      bar.setTotal(news.total);
      bar.update(news.done, text);
    });
  } finally {
    if (bar !== undefined) {
      multi.update();
      multi.stop();
    }
  }
}

/** What a count says, and how long the rest takes if it goes on as it went. */
function etas(now: () => number): (count: Count) => string {
  let from = { verb: '', done: 0, at: 0 };
  return (count) => {
    const { verb, done, total } = count;
    if (verb !== from.verb || done < from.done) from = { verb, done, at: now() };
    const gone = now() - from.at;
    if (done >= total || done === from.done || gone <= 0) return countText(count);
    return `${countText(count)}, ${duration(((total - done) * gone) / (done - from.done))} left`;
  };
}
