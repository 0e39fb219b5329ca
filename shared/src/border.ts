/** Kinds of messages that are dropped where they are not what they should be. */
export const messageKinds = [
  'presence',
  'progress',
  'hello',
  'frame',
  'timeline',
  'seat',
  'record',
  'entry',
  'log',
  'headers',
] as const;
export type MessageKind = (typeof messageKinds)[number];

/** Who tries to do what is not allowed. */
export const attemptKinds = [
  /** A connection to a worker that does not prove to be of its group. */
  'peer',
  /** A request that would change something, or is no HTTP. */
  'http',
  /** What the broker does not let this process do, or as whom it does not let it in. */
  'broker',
  /** Whom the broker did not let in, as its servers' monitoring ports tell. */
  'login',
] as const;
export type AttemptKind = (typeof attemptKinds)[number];

/** Told of everything that does not get past the border of a process: calls are cheap and never throw. */
export interface Border {
  /** A message was dropped. `where` it came, as far as that is known, and `why` it is not what it should be. */
  dropped(kind: MessageKind, where: string, why: string): void;
  /** An attempt was refused. */
  refused(kind: AttemptKind, where: string, why: string): void;
}

/** Of a process that nobody looks at: a command that asks and ends. */
export const unwatchedBorder: Border = { dropped: () => undefined, refused: () => undefined };
