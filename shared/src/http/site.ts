/** An answer to a request. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a page is told by a server-sent event. */
export interface StreamEvent {
  readonly type: string;
  /** Sent as JSON. */
  readonly data: unknown;
}

/** Sends events, as they come, until the signal aborts; may end earlier, by an error that ends the stream, too. */
export type Stream = (send: (event: StreamEvent) => void, signal: AbortSignal) => Promise<void>;

/** Does what was asked for. The body is JSON from outside, of any form. */
export type Action = (body: unknown) => Promise<Page>;

/** Pages for people, and what keeps them up to date. */
export interface Site {
  /** The page at a path, which is what the client sent and nothing better; undefined where there is none. */
  page(path: string): Promise<Page | undefined>;
  /** The events at a path; undefined where there are none. */
  stream(path: string, query: string): Stream | undefined;
  /** What can be asked for at a path, of whoever has the token; undefined where nothing can. */
  action?(path: string): Action | undefined;
}
