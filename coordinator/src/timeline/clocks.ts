/** Answers after which a clock is taken to be known. */
export const answersToSettle = 5;

interface Reading {
  /** How far the other's clock is ahead. */
  readonly offset: number;
  /** How far off that may be. */
  readonly within: number;
  readonly answers: number;
}

/**
 * How far the clocks of others are from this one's, by Cristian's algorithm (F. Cristian, "Probabilistic clock
 * synchronization", 1989): an answer that came back within a time tells a clock to half that time. Of the first answers
 * the quickest counts; from then on a reading stays, so that nothing that is put on this clock overlaps for being read
 * better, until an answer contradicts it, because one of the clocks drifts.
 */
export class Clocks {
  readonly #asked = new Map<number, number>();
  readonly #readings = new Map<string, Reading>();
  readonly #kept: number;

  /** @param kept questions whose answers still count */
  constructor(kept = 16) {
    this.#kept = kept;
  }

  asked(question: number, at: number): void {
    this.#asked.set(question, at);
    this.#asked.delete(question - this.#kept);
  }

  /** An answer came: what the other's clock showed, and what this one shows now. */
  answered(who: string, question: number, theirs: number, now: number): void {
    const sent = this.#asked.get(question);
    if (sent === undefined || now < sent) return;
    const fresh = { offset: theirs - (sent + now) / 2, within: (now - sent) / 2 };
    const known = this.#readings.get(who);
    const answers = (known?.answers ?? 0) + 1;
    const better =
      known === undefined ||
      (known.answers < answersToSettle
        ? fresh.within <= known.within
        : Math.abs(fresh.offset - known.offset) > fresh.within + known.within);
    this.#readings.set(who, better ? { ...fresh, answers } : { ...known, answers });
  }

  settled(who: string): boolean {
    return (this.#readings.get(who)?.answers ?? 0) >= answersToSettle;
  }

  /** A moment of another's clock on this one; undefined while nothing is known of that clock. */
  here(who: string, theirs: number): number | undefined {
    const known = this.#readings.get(who);
    return known === undefined ? undefined : theirs - known.offset;
  }

  /** How far a clock may be off still, milliseconds. */
  uncertainty(who: string): number | undefined {
    return this.#readings.get(who)?.within;
  }
}
