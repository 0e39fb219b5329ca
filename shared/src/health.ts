/**
 * Whether a service can do its work, as probes ask. A service that computes, or waits for its group or for work, is
 * ready; one that lacks a part that it cannot do without, starts or leaves is not.
 */
export class Health {
  readonly #obstacles = new Set<string>();

  /** Says whether something stands in the way, in words that can be shown. */
  set(obstacle: string, there: boolean): void {
    if (there) this.#obstacles.add(obstacle);
    else this.#obstacles.delete(obstacle);
  }

  /** What stands in the way; nothing where the service is ready. */
  get obstacles(): readonly string[] {
    return [...this.#obstacles];
  }
}
