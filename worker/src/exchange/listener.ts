import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { createServer, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Endpoint } from '@crossfold/shared/endpoint';
import { listenAt } from '@crossfold/shared/endpoint';
import type { Hello } from './handshake.ts';
import { handshakeMs, readHello, welcome } from './handshake.ts';
import { Inlet } from './inlet.ts';
import { listenLocally, removeLocal } from './local-socket.ts';

export interface ListenOptions {
  /** Where to listen; port 0 is any free one. */
  readonly listen?: Endpoint;
  /** What peers are told, where that is not where this process listens (containers); port 0: the one listened on. */
  readonly advertise?: Endpoint;
  /** Called where the port that was asked for is taken and a free one was taken instead. */
  readonly onTaken?: (wanted: Endpoint, got: number) => void;
  /** Called with every connection that does not prove to be of a group that this process is in. */
  readonly onRefused?: (from: string, why: string) => void;
  /** Whether peers on the same machine are taken on a socket in the file system as well; they are if not said. */
  readonly local?: boolean;
}

/** A generation that takes connections of its members. */
export interface Joined {
  /** Digest of the group in hexadecimal, see `groupDigest`. */
  readonly group: string;
  readonly rank: number;
  readonly size: number;
  readonly secret: string;
  /** Takes over the connection of a peer that has proved itself. */
  readonly onPeer: (rank: number, inlet: Inlet) => void;
}

/** Where peers reach a process. */
export interface PeerAddress extends Endpoint {
  /** A socket in the file system, for those on the same machine. */
  readonly local?: string;
}

/** Connections that have not said yet, or not proved, whose they are. */
const maxStrangers = 256;
const loopback: Endpoint = { host: '127.0.0.1', port: 0 };

/**
 * The one place where a worker process takes connections of peers, for whatever generation it is in. Peers that come
 * before this member has entered the generation wait for it, for a bounded time.
 */
export class DirectListener {
  readonly address: PeerAddress;
  readonly #servers: readonly Server[];
  readonly #joined = new Map<string, Joined>();
  readonly #sockets = new Set<Socket>();
  #strangers = 0;
  #waiting: { readonly hello: Hello; readonly enter: (joined: Joined) => void }[] = [];

  private constructor(servers: readonly Server[], address: PeerAddress, onRefused: ListenOptions['onRefused']) {
    this.#servers = servers;
    this.address = address;
    for (const server of servers)
      server.on('connection', (socket: Socket) => {
        const from = socket.remoteAddress ?? 'this machine';
        this.#receive(socket).catch((error: unknown) => {
          socket.destroy();
          onRefused?.(from, error instanceof Error ? error.message : String(error));
        });
      });
  }

  /** @throws ConfigError where the address is not one of this machine's. */
  static async open(options: ListenOptions = {}): Promise<DirectListener> {
    const wanted = options.listen ?? loopback;
    const server = createServer({ noDelay: true, keepAlive: true });
    const listening = await listenAt(server, wanted, options.onTaken);
    const port = options.advertise?.port || listening;
    const address = { host: options.advertise?.host ?? reachableHost(wanted.host), port };
    const nearby = createServer();
    const local = options.local === false ? undefined : await listenLocally(nearby);
    return local === undefined
      ? new DirectListener([server], address, options.onRefused)
      : new DirectListener([server, nearby], { ...address, local }, options.onRefused);
  }

  /** Takes connections for a generation until the function that comes back is called. */
  join(joined: Joined): () => void {
    this.#joined.set(joined.group, joined);
    const [mine, others] = partition(this.#waiting, ({ hello }) => hello.group.toString('hex') === joined.group);
    this.#waiting = others;
    for (const { enter } of mine) enter(joined);
    return () => {
      if (this.#joined.get(joined.group) === joined) this.#joined.delete(joined.group);
    };
  }

  /** Takes no more connections, and cuts those that it has taken. */
  async close(): Promise<void> {
    const closed = this.#servers.map((server) => once(server, 'close'));
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
    if (this.address.local !== undefined) await removeLocal(this.address.local);
  }

  async #receive(socket: Socket): Promise<void> {
    socket.on('error', () => socket.destroy());
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#strangers >= maxStrangers) throw new Error(`${maxStrangers} others have not proved themselves yet`);
    this.#strangers++;
    try {
      const inlet = Inlet.of(socket);
      const hello = await readHello(inlet);
      const joined = await this.#groupOf(hello);
      if (joined === undefined || hello.to !== joined.rank || hello.from >= joined.size || hello.from === joined.rank)
        throw new Error('not a peer of a group that this process is in');
      await welcome(inlet, hello, joined.secret);
      joined.onPeer(hello.from, inlet);
    } finally {
      this.#strangers--;
    }
  }

  /** The group that a hello is for; waits for this process to enter it. */
  #groupOf(hello: Hello): Promise<Joined | undefined> {
    const known = this.#joined.get(hello.group.toString('hex'));
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => {
      const waiting = { hello, enter: (joined: Joined) => resolve(joined) };
      this.#waiting.push(waiting);
      setTimeout(() => {
        this.#waiting = this.#waiting.filter((w) => w !== waiting);
        resolve(undefined);
      }, handshakeMs).unref();
    });
  }
}

/** An address under which others reach a process that listens on `host`. */
function reachableHost(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const outward = all.filter((a) => !a.internal && (host === '::' || a.family === 'IPv4'));
  // A link-local address means nothing without the interface's name.
  const usable = outward.filter((a) => !(isIPv6(a.address) && a.address.toLowerCase().startsWith('fe80')));
  return (usable.find((a) => a.family === 'IPv4') ?? usable[0])?.address ?? '127.0.0.1';
}

function partition<T>(items: readonly T[], belongs: (item: T) => boolean): [T[], T[]] {
  return [items.filter(belongs), items.filter((item) => !belongs(item))];
}
