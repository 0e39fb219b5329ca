import type { TransportName, Travel } from '@crossfold/shared/config/exchange';
import type { Wait } from '@crossfold/shared/waits';
import type { BlockHeader, NodeVector, SendBlock } from './all-reduce.ts';
import { Reduction } from './all-reduce.ts';
import { BufferPool } from './buffers.ts';
import type { SendBulk } from './bulk.ts';
import { BulkFetch, BulkServer } from './bulk.ts';
import { EarlyFrames } from './early-frames.ts';
import type { Exchange, ExchangeCounters, ExchangeOptions, GroupView, Reducing } from './exchange.ts';
import type { Header } from './frame.ts';
import { decodeWants, encodeWants, FrameKind } from './frame.ts';
import type { Layout } from './layout.ts';
import { layoutOf } from './layout.ts';
import { Patience } from './patience.ts';
import { Router } from './router.ts';
import type { GroupSubject } from './transport-nats.ts';

/** How often a member that waits looks at how long it has. */
const lookEveryMs = 50;

/** Something that a caller awaits; `settle` ends the wait and is called once. */
interface Awaited<T> {
  readonly patience: Patience;
  readonly settle: (outcome: { value: T } | { reason: unknown }) => void;
}

/** The sum that is under way. */
interface Current {
  readonly reduction: Reduction;
  readonly step: number;
  waiting: Awaited<Float32Array> | undefined;
}

export class GroupExchange implements Exchange {
  readonly #view: GroupView;
  readonly #blockBytes: number;
  readonly #now: () => number;
  readonly #askAfterMs: number;
  readonly #onBlock: ExchangeOptions['onBlock'];
  readonly #peers: readonly number[];
  readonly #router: Router;
  readonly #layouts = new Map<number, Layout>();
  readonly #early = new EarlyFrames();
  readonly #buffers: BufferPool;
  readonly #fetches = new Map<number, { fetch: BulkFetch; waiting: Awaited<Uint8Array> }>();
  /** Sums so far in this generation: the number of the one under way, or of the next. */
  #sequence = 0;
  #current: Current | undefined;
  /** Sums that are not complete here of which a block did not go directly; of the one under way and the next, at most. */
  readonly #roundabout = new Set<number>();
  #travelled: Travel = 'none';
  /** The sum before: whoever lacks a block of it can still ask. */
  #previous: Reduction | undefined;
  #bulk: BulkServer | undefined;
  #fetched = 0;
  #ticker: NodeJS.Timeout | undefined;
  #resent = 0;
  #abandoned = false;
  #closed = false;

  constructor(view: GroupView, blockBytes: number, subject: GroupSubject, options: ExchangeOptions) {
    this.#view = view;
    this.#blockBytes = blockBytes;
    this.#now = options.now ?? (() => performance.now());
    this.#askAfterMs = options.askAfterMs ?? 250;
    this.#onBlock = options.onBlock;
    this.#peers = view.members.map((_, rank) => rank).filter((rank) => rank !== view.rank);
    this.#buffers = new BufferPool(blockBytes);
    this.#router = new Router(view, subject, this.#buffers, blockBytes, this.#now, options, {
      receive: this.#receive.bind(this),
      onUncertain: (rank) => this.#reconsider(rank),
    });
  }

  /** Resolves once frames of other members can arrive. */
  async open(signal: AbortSignal): Promise<void> {
    try {
      await this.#router.open(signal);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get transport(): Travel {
    return this.#router.transport;
  }

  get travelled(): Travel {
    return this.#travelled;
  }

  async allReduce(
    step: number,
    nodes: readonly NodeVector[],
    length: number,
    signal: AbortSignal,
  ): Promise<Float32Array> {
    const sum = this.begin(step, length, signal);
    for (const node of nodes) sum.contribute(node);
    return sum.finish();
  }

  begin(step: number, length: number, signal: AbortSignal): Reducing {
    signal.throwIfAborted();
    // A sum of nothing would keep nobody together: members could be any number of sums apart.
    if (length < 1) throw new RangeError('a sum has at least one element');
    if (this.#current !== undefined) throw new RangeError(`the sum for step ${this.#current.step} is still under way`);
    const sequence = this.#sequence;
    const send: SendBlock = (to, header, payload) => this.#sendBlock(to, sequence, step, header, payload);
    const reduction = new Reduction(this.#layout(length), this.#view.rank, send, this.#buffers);
    const current: Current = { reduction, step, waiting: undefined };
    this.#current = current;
    for (const frame of this.#early.take()) this.#takeBlock(frame.header, frame.payload, 'early');
    return {
      contribute: (node) => {
        signal.throwIfAborted();
        reduction.contribute(node);
      },
      finish: () => {
        if (reduction.complete) return Promise.resolve(this.#conclude(reduction));
        return this.#wait<Float32Array>(signal, (waiting) => {
          current.waiting = waiting;
          return () => {
            if (this.#current === current) this.#current = undefined;
          };
        });
      },
    };
  }

  serve(offer: (what: string) => Uint8Array | undefined): void {
    this.#bulk = new BulkServer(offer, this.#blockBytes);
  }

  async fetch(what: string, fromRank: number, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    const sequence = this.#fetched++;
    const fetch = new BulkFetch(what, fromRank, sequence, maxBytes, this.#blockBytes);
    return this.#wait<Uint8Array>(signal, (waiting) => {
      this.#fetches.set(sequence, { fetch, waiting });
      fetch.ask(this.#sendBulk(fromRank));
      return () => this.#fetches.delete(sequence);
    });
  }

  waitingFor(): Wait | undefined {
    const now = this.#now();
    const sum = this.#current;
    if (sum?.waiting !== undefined) {
      const sinceMs = now - sum.waiting.patience.startedAt;
      // Whoever has not sent its sums holds up the owners of other blocks as well: name the cause.
      const nodes = sum.reduction.awaitedNodes();
      const ranks = nodes.length > 0 ? nodes.map((n) => n.rank) : sum.reduction.awaitedOwners();
      const what =
        nodes.length > 0
          ? `sums of slices ${nodes.map((n) => (n.to - n.from === 1 ? n.from : `${n.from}-${n.to - 1}`)).join(', ')}`
          : 'finished blocks';
      const problems = [...new Set(ranks)].map((rank) => this.#router.problem(rank)).filter((p) => p !== undefined);
      const because = problems.length === 0 ? '' : ` (${problems.join('; ')})`;
      return { members: this.#names(ranks), what: `${what} of step ${sum.step}${because}`, sinceMs };
    }
    for (const { fetch, waiting } of this.#fetches.values())
      return { members: this.#names([fetch.from]), what: fetch.what, sinceMs: now - waiting.patience.startedAt };
    return undefined;
  }

  counters(): ExchangeCounters {
    return { ...this.#router.counters(), badFrames: this.#router.badFrames, resent: this.#resent };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const reason = new Error(`generation ${this.#view.generation} of ${this.#view.job} is closed here`);
    this.#current?.waiting?.settle({ reason });
    for (const { waiting } of [...this.#fetches.values()]) waiting.settle({ reason });
    this.#current = undefined;
    this.#previous = undefined;
    this.#early.clear();
    this.#look();
    await this.#router.close(this.#abandoned);
  }

  /** A promise that the abort of `signal` rejects; `start` gets the way to settle it and returns what undoes its doing. */
  #wait<T>(signal: AbortSignal, start: (waiting: Awaited<T>) => () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new Error(`generation ${this.#view.generation} of ${this.#view.job} is closed here`);
      signal.throwIfAborted();
      const abort = (): void => {
        this.#abandoned = true;
        settle({ reason: signal.reason });
      };
      const settle = (outcome: { value: T } | { reason: unknown }): void => {
        signal.removeEventListener('abort', abort);
        undo();
        this.#look();
        if ('value' in outcome) resolve(outcome.value);
        else reject(outcome.reason);
      };
      const undo = start({ patience: new Patience(this.#now(), this.#askAfterMs), settle });
      signal.addEventListener('abort', abort, { once: true });
      this.#ticker ??= setInterval(() => this.#look(), lookEveryMs);
    });
  }

  #receive(header: Header, payload: Uint8Array, via: TransportName): void {
    if (this.#closed) return;
    const { generation, rank, members } = this.#view;
    if (header.generation !== generation || header.sender === rank || header.sender >= members.length) {
      this.#router.drop(`a frame of rank ${header.sender} in generation ${header.generation}, now ${generation}`);
      return;
    }
    if (header.kind === FrameKind.partial || header.kind === FrameKind.finished) this.#takeBlock(header, payload, via);
    else {
      if (header.kind === FrameKind.request) this.#answer(header, payload, via);
      else if (header.kind === FrameKind.bulk) this.#takeBulk(header, payload);
      else this.#offer(header, payload);
      this.#buffers.giveBack(payload);
    }
  }

  #takeBlock(header: Header, payload: Uint8Array, via: TransportName | 'early'): void {
    const current = this.#current;
    const ahead = header.sequence - this.#sequence;
    if (ahead < 0) return;
    if (ahead > (current === undefined ? 0 : 1) || payload.length > this.#blockBytes) {
      this.#router.drop(`a block of ${payload.length} bytes, ${ahead} sums ahead`);
      return;
    }
    if (via !== 'direct' && via !== 'early') this.#roundabout.add(header.sequence);
    if (current === undefined || ahead === 1) {
      this.#early.keep(header, payload);
    } else if (header.step !== current.step) {
      this.#router.drop(`a block of step ${header.step} in the sum of step ${current.step}`);
    } else {
      const verdict = current.reduction.accept(header, payload);
      if (verdict === 'bad')
        this.#router.drop(`block ${header.chunk} of ${header.chunks} of rank ${header.owner}, which there is not`);
      if (verdict !== 'taken') {
        this.#buffers.giveBack(payload);
        return;
      }
      current.waiting?.patience.heard(header.sender, this.#now());
      if (current.reduction.complete) current.waiting?.settle({ value: this.#conclude(current.reduction) });
    }
  }

  /** The sum is complete: on to the next. */
  #conclude(reduction: Reduction): Float32Array {
    const sum = reduction.take();
    if (this.#peers.length > 0)
      this.#travelled = this.#roundabout.delete(this.#sequence) ? this.#router.sure : 'direct';
    // Everyone has sent its part of this sum, and so has finished the one before.
    this.#previous?.retire();
    this.#previous = reduction;
    this.#current = undefined;
    this.#sequence++;
    // A block of it that was asked for again, and has come meanwhile, may still be leaving; whoever gets the sum hands it on.
    return this.#router.holds(sum.buffer) ? sum.slice() : sum;
  }

  #answer(header: Header, payload: Uint8Array, via: TransportName): void {
    const wants = decodeWants(payload);
    if (wants === undefined) {
      this.#router.drop(`a request of ${payload.length} bytes`);
      return;
    }
    const behind = this.#sequence - header.sequence;
    const reduction = behind === 0 ? this.#current?.reduction : behind === 1 ? this.#previous : undefined;
    const { sequence, step, sender } = header;
    const owed = reduction?.owes(wants, sender) ?? [];
    if (owed.length === 0 || !this.#router.shouldAnswer(sender, via)) return;
    for (const { block, bytes } of owed) this.#sendBlock(sender, sequence, step, block, bytes);
    this.#resent += owed.length;
  }

  #offer(header: Header, payload: Uint8Array): void {
    const known = this.#bulk?.answer(header, payload, this.#sendBulk(header.sender)) ?? true;
    if (!known) this.#router.drop(`a request for ${header.chunks} pieces at once`);
  }

  #takeBulk(header: Header, payload: Uint8Array): void {
    const found = this.#fetches.get(header.sequence);
    if (found === undefined) return;
    try {
      const verdict = found.fetch.accept(header, payload);
      if (verdict === undefined) this.#router.drop(`piece ${header.chunk} of ${header.chunks} of a blob`);
      else found.waiting.patience.heard(header.sender, this.#now());
      if (verdict === 'more') found.fetch.ask(this.#sendBulk(found.fetch.from));
      if (verdict === 'whole') found.waiting.settle({ value: found.fetch.bytes });
    } catch (reason) {
      found.waiting.settle({ reason });
    }
  }

  /** A connection to a peer has come or gone: what is missing may have gone with it, or can be had now. */
  #reconsider(peer: number): void {
    this.#current?.waiting?.patience.hurry(peer);
    for (const { fetch, waiting } of this.#fetches.values()) if (fetch.from === peer) waiting.patience.hurry(peer);
  }

  /** Asks for what has been missing for too long; stops when nobody waits any more. */
  #look(): void {
    const sum = this.#current;
    if (sum?.waiting === undefined && this.#fetches.size === 0) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
      return;
    }
    const now = this.#now();
    if (sum?.waiting !== undefined) {
      for (const peer of this.#peers) {
        const asked = sum.waiting.patience.due(peer, now);
        const wants = asked === undefined ? [] : sum.reduction.wantsFrom(peer, this.#blockBytes / 8);
        if (wants.length === 0) continue;
        const payload = encodeWants(wants);
        const header = { ...this.#header, kind: FrameKind.request, sequence: this.#sequence, step: sum.step };
        // Who does not answer the first time is asked another way.
        const surely = (asked ?? 0) > 0;
        this.#router.send(peer, { ...header, payload: payload.length }, payload, surely);
      }
    }
    for (const { fetch, waiting } of this.#fetches.values())
      if (waiting.patience.due(fetch.from, now) !== undefined) fetch.ask(this.#sendBulk(fetch.from));
  }

  #sendBlock(to: number | 'all', sequence: number, step: number, block: BlockHeader, payload: Uint8Array): void {
    const what = block.kind === FrameKind.partial ? 'partial' : 'finished';
    this.#onBlock?.(what, step, 'before');
    const header = { ...this.#header, ...block, sequence, step, payload: payload.length };
    if (this.#router.send(to, header, payload) && sequence >= this.#sequence) this.#roundabout.add(sequence);
    this.#onBlock?.(what, step, 'after');
  }

  #sendBulk(to: number): SendBulk {
    return (bulk, payload) => {
      this.#router.send(to, { ...this.#header, ...bulk, payload: payload.length }, payload);
    };
  }

  get #header(): Omit<Header, 'kind' | 'payload'> {
    const { rank: sender, generation } = this.#view;
    return { sender, generation, sequence: 0, step: 0, owner: 0, chunk: 0, chunks: 0, from: 0, to: 0, total: 0 };
  }

  #layout(length: number): Layout {
    const known = this.#layouts.get(length);
    if (known !== undefined) return known;
    const layout = layoutOf(this.#view.members.length, this.#view.slices, length, this.#blockBytes / 4);
    this.#layouts.set(length, layout);
    return layout;
  }

  #names(ranks: readonly number[]): string[] {
    return [...new Set(ranks)].map((rank) => this.#view.members[rank]?.worker ?? `rank ${rank}`);
  }
}
