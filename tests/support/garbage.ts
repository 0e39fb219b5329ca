import { connect as dial } from 'node:net';
import { openBroker } from '@crossfold/shared/broker/broker';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { seatSubject, timelineSubject } from '@crossfold/shared/broker/subjects';
import { keyedRandom } from '@crossfold/shared/rng';
import { decodeHeader, encodeHeader } from '@crossfold/worker/exchange/frame';
import type { Msg, NatsConnection } from 'nats';
import { headers } from 'nats';

/** What the messages with impossible headers hold: these cannot say whose they are. */
const rawData = Buffer.from('vandal!');

/** Somebody who may publish everywhere, and says nonsense on every subject that is used. */
export class Vandal {
  /** Messages said so far. */
  said = 0;
  readonly #url: string;
  readonly #jobs = new Set<string>();
  readonly #nats: NatsConnection;
  readonly #raw: (subject: string) => void;
  readonly #random = keyedRandom(9, 'vandal');
  readonly #identities = new Set<string>();

  private constructor(url: string, nats: NatsConnection, raw: (subject: string) => void) {
    this.#url = url;
    this.#nats = nats;
    this.#raw = raw;
    // It goes by what it hears: real messages, damaged, where they are expected, as soon as they are.
    nats.subscribe('crossfold.>', {
      callback: (error, message) => {
        const own = message.headers?.has('Vandal') === true || Buffer.compare(message.data, rawData) === 0;
        if (error === null && !own) this.#answer(message);
      },
    });
  }

  static async connect(url: string): Promise<Vandal> {
    const nats = await connectBroker(url, 'vandal');
    return new Vandal(url, nats, await rawPublisher(url));
  }

  /** What nobody has said before, once: in the queue of seats, among the records, in the object store. */
  litter(experiment: string): void {
    const job = `${experiment}.train.7.0.0`;
    this.#jobs.add(job);
    for (const identity of this.#identities)
      for (const text of ['', '{"job":', '{"job":"../../etc"}', '{"job":7}', '{"job":"x.y"}'])
        this.#say(seatSubject(identity), Buffer.from(text));
    for (const text of ['not JSON', '{}', `{"schema":1,"id":"somebody-else","__proto__":{"polluted":true}}`]) {
      this.#say(`$KV.crossfold_jobs.${job}`, Buffer.from(text));
      this.#say('$KV.crossfold_experiments.litter', Buffer.from(text));
      this.#say('$KV.crossfold_leases.leader', Buffer.from(text));
      this.#say(`$O.crossfold_artifacts.M.${Buffer.from('litter').toString('base64url')}`, Buffer.from(text));
    }
    for (const what of ['wanted', 'clock', 'events'] as const)
      for (let n = 0; n < 300; n++) this.#say(timelineSubject(`litter-${n}`, what), this.#noise(100));
    this.#raw(`$KV.crossfold_experiments.litter2`);
  }

  /** Has JetStream send answers in the place of records, as whoever may ask it anything can. */
  displace(...records: readonly string[]): void {
    for (const subject of records)
      this.#nats.publish('$JS.API.STREAM.INFO.KV_crossfold_jobs', undefined, { reply: subject });
  }

  /** Takes what it has left among the records away again. */
  async tidy(): Promise<void> {
    const broker = await openBroker(this.#url, 'vandal');
    for (const job of this.#jobs) await broker.jobs.delete(job);
    await broker.close();
  }

  async close(): Promise<void> {
    await this.#nats.close();
  }

  #answer({ subject, data, headers: said }: Msg): void {
    const identity = /"identity":"([^"]+)"/.exec(subject.includes('presence') ? Buffer.from(data).toString() : '')?.[1];
    if (identity !== undefined) this.#identities.add(identity);
    this.#say(subject, this.#noise(200));
    this.#say(subject, data.slice(0, Math.max(0, data.length - 1)));
    this.#raw(subject);
    if (subject.startsWith('crossfold.presence.')) this.#say(`crossfold.presence.ghost-${this.said}`, this.#noise(50));
    const header = decodeHeader(Buffer.from(said?.get('Head') ?? '', 'base64'));
    if (header === undefined) return;
    // Frames that lie about one thing each, with what was really sent.
    for (const lie of [
      { generation: header.generation + 1 },
      { generation: header.generation - 1 },
      { sender: 200 },
      { chunks: 0xffffffff },
      { total: 0xffffffff },
      { owner: 0xffffffff },
      { sequence: header.sequence + 1000 },
      { payload: 0xffffffff },
    ]) {
      const own = headers();
      own.set('Head', Buffer.from(encodeHeader({ ...header, ...lie })).toString('base64'));
      this.#say(subject, data, own);
    }
  }

  #say(subject: string, data: Uint8Array, own = headers()): void {
    if (this.#nats.isClosed()) return;
    own.set('Vandal', '1');
    this.#nats.publish(subject, data, { headers: own });
    this.said++;
  }

  #noise(most: number): Uint8Array {
    return Uint8Array.from({ length: this.#random.below(most) }, () => this.#random.below(256));
  }
}

/** Publishes what no client would: a message whose headers are none, which the server passes on as it is. */
export async function rawPublisher(url: string): Promise<(subject: string) => void> {
  const { hostname, port, username, password } = new URL(url);
  const socket = dial(Number(port), hostname);
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    socket.on('data', (text) => {
      if (text.toString().startsWith('INFO')) {
        const access = username === '' ? {} : { user: username, pass: password };
        socket.write(
          `CONNECT ${JSON.stringify({ verbose: false, headers: true, lang: 'x', version: '1', ...access })}\r\nPING\r\n`,
        );
      }
      if (text.toString().includes('PONG')) resolve();
      if (text.toString().includes('PING')) socket.write('PONG\r\n');
    });
  });
  socket.unref();
  const head = 'NATS/1.0\r\nVandal:1\r\nno\u0001token: x\r\n\r\n';
  return (subject) => {
    if (!socket.destroyed)
      socket.write(`HPUB ${subject} ${head.length} ${head.length + rawData.length}\r\n${head}${rawData}\r\n`);
  };
}
