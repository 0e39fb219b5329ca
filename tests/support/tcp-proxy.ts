import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Connections taken so far. */
  readonly connections: number;
  /** Lets no more than this many further bytes through, then does `what` to all connections and to new ones. */
  failAfter(bytes: number, what: 'cut' | 'swallow'): void;
  heal(): void;
  close(): Promise<void>;
}

/** Stands between two peers, and fails as told. */
export async function tcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let left = Number.POSITIVE_INFINITY;
  let failure: 'cut' | 'swallow' | undefined;
  let connections = 0;
  const failed = (): boolean => failure !== undefined && left <= 0;
  const pass = (from: Socket, to: Socket): void => {
    from.on('data', (bytes: Buffer) => {
      left -= bytes.length;
      if (!failed()) to.write(bytes);
      else if (failure === 'cut') for (const socket of sockets) socket.destroy();
    });
    from.on('close', () => to.destroy());
    from.on('error', () => to.destroy());
  };
  const server = createServer((near) => {
    connections++;
    if (failed() && failure === 'cut') {
      near.destroy();
      return;
    }
    const far = connect(target);
    sockets.add(near).add(far);
    pass(near, far);
    pass(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    failAfter(bytes, what) {
      left = bytes;
      failure = what;
    },
    heal() {
      left = Number.POSITIVE_INFINITY;
      failure = undefined;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
