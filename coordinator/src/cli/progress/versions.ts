/**
 * A map whose versions stay what they were, and of which the newest costs what a plain one does: older ones know how they
 * differ from the next (H. Baker, "Shallow Binding Makes Functional Arrays Fast", 1991). Setting a key costs the same
 * however many there are.
 */
export class Versions<K, V> {
  #map: Map<K, V> | undefined = new Map();
  /** Where this is not the newest version: what it has under the one key that the next has changed. */
  #older: { readonly key: K; readonly value: V | undefined; readonly next: Versions<K, V> } | undefined;

  get(key: K): V | undefined {
    let at: Versions<K, V> = this;
    for (let older = at.#older; older !== undefined; older = at.#older) {
      if (older.key === key) return older.value;
      at = older.next;
    }
    return at.#map?.get(key);
  }

  /** A version with a key set; this one stays as it is. */
  set(key: K, value: V): Versions<K, V> {
    const map = this.#map ?? new Map(this.entries());
    const next = new Versions<K, V>();
    next.#map = map;
    if (this.#map !== undefined) {
      this.#older = { key, value: map.get(key), next };
      this.#map = undefined;
    }
    map.set(key, value);
    return next;
  }

  /** Of an older version this costs a copy. */
  entries(): IterableIterator<[K, V]> {
    if (this.#map !== undefined) return this.#map.entries();
    const changes: { readonly key: K; readonly value: V | undefined }[] = [];
    let at: Versions<K, V> = this;
    for (let older = at.#older; older !== undefined; older = at.#older) {
      changes.push(older);
      at = older.next;
    }
    const copy = new Map(at.#map);
    for (const { key, value } of changes.toReversed())
      if (value === undefined) copy.delete(key);
      else copy.set(key, value);
    return copy.entries();
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }
}
