/** When things that come and go were first seen, by the clock of whoever looks. */
export class FirstSeen {
  #times = new Map<string, number>();

  /** What is there now: what is new has been first seen now, what is gone is forgotten. */
  keep(keys: Iterable<string>, now: number): void {
    const times = new Map<string, number>();
    for (const key of keys) times.set(key, this.#times.get(key) ?? now);
    this.#times = times;
  }

  at(key: string): number | undefined {
    return this.#times.get(key);
  }
}
