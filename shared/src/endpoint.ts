import { once } from 'node:events';
import type { Server } from 'node:net';
import { createServer } from 'node:net';
import { ConfigError, CrossfoldError, ExitCode } from './errors.ts';

/** Where something listens; port 0 is any free one. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `ADDR:PORT`, `[IPV6]:PORT`, `ADDR` or `:PORT` (every interface).
 *
 * @throws ConfigError naming the option.
 */
export function parseEndpoint(text: string, option: string): Endpoint {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 0);
  if (host === undefined || text === '' || port > 65_535)
    throw new ConfigError({
      field: option,
      value: JSON.stringify(text),
      allowed: 'ADDR:PORT, for example 0.0.0.0:4300 or [::]:0',
    });
  return { host: host === '' ? '::' : host, port };
}

/** As an address has it. */
export const showEndpoint = ({ host, port }: Endpoint): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Whether nobody listens on a port of this machine, and this user may. */
export async function isFree(endpoint: Endpoint): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(endpoint), 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/**
 * Has a server listen; where the port is taken, or not for this user, on a free one.
 *
 * @returns the port
 * @throws ConfigError where the address is not one of this machine's; CrossfoldError where it has no free port.
 */
export async function listenAt(
  server: Server,
  wanted: Endpoint,
  onTaken: ((wanted: Endpoint, got: number) => void) | undefined,
): Promise<number> {
  const listen = async (port: number): Promise<number> => {
    server.listen({ host: wanted.host, port });
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the server does not listen on a port');
    return address.port;
  };
  try {
    return await listen(wanted.port);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EADDRINUSE' && code !== 'EACCES')
      throw new ConfigError(
        `cannot listen on ${showEndpoint(wanted)}: ${error instanceof Error ? error.message : String(error)}; it must be an address of this machine, as in 127.0.0.1:9470`,
      );
    const got = await listen(0).catch((cause: unknown) => {
      throw new CrossfoldError(
        `there is no free port on ${wanted.host}: all are taken by services and connections; end some, or widen the range (Linux: net.ipv4.ip_local_port_range)`,
        ExitCode.failed,
        { cause },
      );
    });
    onTaken?.(wanted, got);
    return got;
  }
}
