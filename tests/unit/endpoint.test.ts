import { Server } from 'node:net';
import { listenAt, parseEndpoint } from '@crossfold/shared/endpoint';
import { ConfigError, ExitCode } from '@crossfold/shared/errors';
import { describe, expect, it } from 'vitest';

describe('an address to listen on', () => {
  it.each([
    ['127.0.0.1:4300', { host: '127.0.0.1', port: 4300 }],
    ['[::1]:4300', { host: '::1', port: 4300 }],
    // As the manifests write a pod's address, of whichever kind it is.
    ['[10.1.2.3]:4300', { host: '10.1.2.3', port: 4300 }],
    ['[fd00::a]:4300', { host: 'fd00::a', port: 4300 }],
    ['[::]', { host: '::', port: 0 }],
    [':4300', { host: '::', port: 4300 }],
    ['0.0.0.0', { host: '0.0.0.0', port: 0 }],
    ['worker-1.workers:0', { host: 'worker-1.workers', port: 0 }],
  ])('%s', (text, endpoint) => {
    expect(parseEndpoint(text, '--listen')).toEqual(endpoint);
  });

  it.each(['', '127.0.0.1:70000', '127.0.0.1:x', '::1:4300', '[::1'])('%s is refused, by the option’s name', (text) => {
    expect(() => parseEndpoint(text, '--listen')).toThrow(ConfigError);
    expect(() => parseEndpoint(text, '--listen')).toThrow(/--listen/);
  });
});

it('a machine whose ports are all taken is told so, and what helps', async () => {
  // What the system says of port 0 then.
  class Taken extends Server {
    override listen(): this {
      const error = Object.assign(new Error('listen EADDRINUSE: address already in use'), { code: 'EADDRINUSE' });
      setImmediate(() => this.emit('error', error));
      return this;
    }
  }
  await expect(listenAt(new Taken(), { host: '127.0.0.1', port: 9471 }, undefined)).rejects.toMatchObject({
    message: expect.stringMatching(/^there is no free port on 127\.0\.0\.1: .* net\.ipv4\.ip_local_port_range/),
    exitCode: ExitCode.failed,
  });
});
