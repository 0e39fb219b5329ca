import type { ServerResponse } from 'node:http';
import type { Stream, StreamEvent } from './site.ts';

/** Fewer than a server's connections: probes and scrapers get through however many pages are open. */
export const maxStreams = 32;
/** A client that does not read is let go of: it asks again where it wants to. */
const maxUnsentBytes = 512 * 1024;
/** Tells a client that is gone without a word from one that has nothing to hear. */
const pulseMs = 15_000;
/** After how long a client asks again. */
const retryMs = 3000;

/**
 * Open streams of server-sent events (the HTML standard's `text/event-stream`), no more than `maxStreams` of them.
 */
export class EventStreams {
  #open = 0;

  /** Begins to send a stream's events; false where too many are sent already. */
  open(response: ServerResponse, stream: Stream): boolean {
    if (this.#open >= maxStreams) return false;
    this.#open++;
    const over = new AbortController();
    const write = (text: string): void => {
      if (over.signal.aborted) return;
      if (response.writableLength + text.length > maxUnsentBytes) response.destroy();
      else response.write(text);
    };
    const pulse = setInterval(() => write(':\n\n'), pulseMs);
    response.once('close', () => {
      clearInterval(pulse);
      this.#open--;
      over.abort();
    });
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    write(`retry: ${retryMs}\n\n`);
    const send = ({ type, data }: StreamEvent): void => write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
    const end = (): void => void response.end();
    stream(send, over.signal).then(end, end);
    return true;
  }
}
