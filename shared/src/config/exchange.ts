/** Ways for gradients to travel between the members of a group; `worker/src/exchange` has a transport for each. */
export const transports = ['nats', 'direct'] as const;
export type TransportName = (typeof transports)[number];

/** What can be asked for: one of them, or `auto`, directly between members that can reach one another, else by `nats`. */
export const exchangeModes = ['auto', ...transports] as const;
export type ExchangeMode = (typeof exchangeModes)[number];

/** How gradients have travelled: not at all in a group of one. */
export const travels = ['none', ...transports] as const;
export type Travel = (typeof travels)[number];

/** Something for each of them, by its name. */
export const eachTransport = <T>(of: (name: TransportName) => T): Readonly<Record<TransportName, T>> => ({
  nats: of('nats'),
  direct: of('direct'),
});
