import { harden } from '@crossfold/shared/broker/harden';
import type { NatsConnection } from 'nats';
import { NatsError } from 'nats';
import { expect, it } from 'vitest';

it('an answer over the limit of a broker that was restarted with a smaller one is named, with the remedy', () => {
  const protocol = {
    processMsg: (error: Error) => {
      throw error;
    },
    publish: () => undefined,
    subscribe: () => undefined,
  };
  const said: string[] = [];
  const nats = { protocol, info: { max_payload: 1024 }, closed: async () => undefined };
  harden(nats as unknown as NatsConnection, (why) => said.push(why));
  protocol.processMsg(NatsError.errorForCode('MAX_PAYLOAD_EXCEEDED'));
  protocol.processMsg(new Error('odd'));
  expect(said).toEqual([
    'the answer is too large: the broker now takes messages of at most 1024 bytes (max_payload); set it to at least 65536',
    'it could not be taken: odd',
  ]);
});
