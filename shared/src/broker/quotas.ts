import type { JetStreamManager } from 'nats';
import { DiscardPolicy } from 'nats';
import { DamagedDataError } from '../errors.ts';
import type { Quotas } from '../quotas.ts';
import { showBytes } from '../quotas.ts';
import type { Broker } from './broker.ts';
import { Buckets, blobStream, recordStream, Stores } from './subjects.ts';

const quotasKey = 'quotas';

/** The cluster's quotas; undefined where no coordinator has said any yet. */
export async function readQuotas({ quotas }: Pick<Broker, 'quotas'>): Promise<Quotas | undefined> {
  try {
    return (await quotas.get(quotasKey))?.value;
  } catch (error) {
    // The next leader writes it anew.
    if (error instanceof DamagedDataError) return undefined;
    throw error;
  }
}

/** Says what the cluster's quotas are, for whoever submits. */
export async function writeQuotas({ quotas }: Pick<Broker, 'quotas'>, value: Quotas): Promise<void> {
  await quotas.deleteDamaged(quotasKey);
  if (!(await quotas.create(quotasKey, value))) await quotas.transition(quotasKey, () => value);
}

/**
 * Shares of what everything together may take: what clients and workers store can be full without keeping anybody from
 * writing the records that the cluster lives by, for which the rest is left.
 */
const shares: Readonly<Record<string, number>> = {
  [blobStream(Stores.data)]: 0.5,
  [blobStream(Stores.artifacts)]: 0.35,
  [blobStream(Stores.checkpoints)]: 0.1,
  [recordStream(Buckets.experiments)]: 0.02,
};

/** In a stream's metadata: its limit was set here, and goes with the setting; one that somebody else has set stays. */
const ownLimit = 'crossfold.share';

/**
 * Has the broker refuse what would go over a store's share, or takes such limits back.
 *
 * @param storage what everything together may take, bytes; undefined where nothing says so (any more)
 * @returns why it is not so everywhere, a sentence a store; empty where it is
 */
export async function limitStores(manager: JetStreamManager, storage: number | undefined): Promise<string[]> {
  const problems: string[] = [];
  for (const [stream, share] of Object.entries(shares)) {
    const { config, state } = await manager.streams.info(stream);
    const { [ownLimit]: own, ...metadata } = config.metadata ?? {};
    const update = async (max_bytes: number, marked: Record<string, string>): Promise<void> => {
      try {
        const limited = { ...config, max_bytes, discard: DiscardPolicy.New, metadata: { ...metadata, ...marked } };
        await manager.streams.update(stream, limited);
      } catch (error) {
        problems.push(`${stream}: ${error instanceof Error ? error.message : String(error)}`);
      }
    };
    if (storage === undefined) {
      if (own !== undefined) await update(-1, {});
      continue;
    }
    const most = Math.max(1, Math.floor(share * storage));
    if (config.max_bytes === most && own !== undefined) continue;
    if (state.bytes > most)
      problems.push(`${stream} holds ${showBytes(state.bytes)} already, and its share is ${showBytes(most)}`);
    else await update(most, { [ownLimit]: String(share) });
  }
  return problems;
}
