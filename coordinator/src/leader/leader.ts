import type { Broker } from '@crossfold/shared/broker/broker';
import { writeQuotas } from '@crossfold/shared/broker/quotas';
import type { RecordStore } from '@crossfold/shared/broker/record-store';
import type { Logger } from '@crossfold/shared/logger';
import { pause } from '@crossfold/shared/wait';
import { Bell } from './bell.ts';
import { Board } from './board.ts';
import type { LeaderContext } from './context.ts';
import { Rounds } from './rounds.ts';
import { sweep } from './sweeper.ts';

/** Rounds follow changes, and time, no faster and no slower than this. */
const betweenRoundsMs = 20;
const roundEveryMs = 200;

/**
 * Leads while `signal` is not aborted: prepares experiments, gives out seats, gives jobs without live members back to
 * the queue, ends experiments. Holds nothing that is not on the broker, so that another can take over at any moment;
 * all its changes are transitions that are valid whoever makes them.
 */
export async function lead(context: LeaderContext, signal: AbortSignal): Promise<void> {
  const { broker, logger, roster } = context;
  const bell = new Bell();
  const board = new Board(() => bell.ring());
  roster.onChange(() => bell.ring(), signal);
  await mirror(broker, board, signal, logger, context.leads);
  // One that has been replaced meanwhile must not throw away what its successor has given out.
  if (context.leads()) await broker.seats.clear();
  if (context.leads()) await writeQuotas(broker, context.quotas);
  context.observer.lead(board, signal);
  const rounds = new Rounds(context, board);
  const sweeping = sweep(context, board, signal);
  while (!signal.aborted) {
    if (context.leads()) {
      try {
        await rounds.round();
      } catch (error) {
        logger.warn({ err: error }, 'a round of leading failed; the next one tries again');
      }
    }
    await bell.rung(roundEveryMs, signal);
    await pause(betweenRoundsMs, signal);
  }
  await Promise.all([rounds.settled(), sweeping]);
}

/**
 * Keeps a board as the records are, until the signal aborts. What has come in the place of a record (an answer of
 * JetStream's, that somebody had sent there) gives way to the record as the board has it, if this process leads.
 */
export async function mirror(
  { experiments, jobs }: Pick<Broker, 'experiments' | 'jobs'>,
  board: Board,
  signal: AbortSignal,
  logger: Logger,
  leads: () => boolean = () => false,
): Promise<void> {
  const mirrored = <T>(store: RecordStore<T>, known: ReadonlyMap<string, T>, see: (value: T) => void, forget: Forget) =>
    store.watch(
      '>',
      signal,
      ({ value }) => see(value),
      (error, displaced) => {
        // The border has named it.
        logger.debug(error.message);
        const record = displaced === undefined ? undefined : known.get(displaced.key);
        if (displaced === undefined || record === undefined || !leads()) return;
        store.update(displaced.key, record, displaced.revision).then(
          (done) => done && logger.warn({ record: displaced.key }, 'something else had come in its place: put back'),
          (err: unknown) => logger.warn({ err, record: displaced.key }, 'something else is in its place'),
        );
      },
      forget,
    );
  await mirrored(
    experiments,
    board.experiments,
    (value) => board.seeExperiment(value),
    (id, revision) => board.forgetExperiment(id, revision),
  );
  await mirrored(
    jobs,
    board.jobs,
    (value) => board.seeJob(value),
    (id, revision) => board.forgetJob(id, revision),
  );
}

type Forget = (key: string, revision: number) => void;
