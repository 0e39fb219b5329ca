import { parentPort, workerData } from 'node:worker_threads';
import { faultsFrom } from '@crossfold/shared/faults';
import { createLogger } from '@crossfold/shared/logger';
import { Engine } from './engine.ts';
import { JobHost } from './job-host.ts';
import { loadEngine } from './load.ts';
import type { Call, Notice, Reply, ThreadSetup } from './remote.ts';
import { transferList } from './remote.ts';

/**
 * The engine's thread: loads TensorFlow and carries out calls in the order they come, one job at a time. Steps can take
 * seconds; sockets, heartbeats and metrics live on the main thread and never wait for them.
 */
const port = parentPort;
if (port === null) throw new Error('the engine runs in a worker thread');
const { threads, pulse } = workerData as ThreadSetup;
const beats = new Int32Array(pulse);
/** Every computation that has come to its end is a sign of life: a call may take many. */
const onBeat = (): void => void Atomics.add(beats, 0, 1);
const faults = faultsFrom(process.env, createLogger({ service: 'engine' }));
const loaded = await loadEngine({ threads });
const tell = (notice: Notice): void => port.postMessage(notice);
tell({ ready: loaded.identity });
const onFallback = (program: string, reason: unknown): void =>
  tell({ fallback: { program, reason: reason instanceof Error ? reason.message : String(reason) } });

let host: JobHost | undefined;
port.on('message', (call: Call) => {
  let reply: Reply;
  try {
    reply = { id: call.id, value: carryOut(call) };
  } catch (error) {
    reply = { id: call.id, error: error instanceof Error ? error : new Error(String(error)) };
  }
  port.postMessage(reply, transferList(reply));
});

function carryOut(call: Call): unknown {
  if (call.method === 'open') {
    host?.close();
    const [options] = call.args;
    host = new JobHost(new Engine(loaded, options, { onFallback }), options, onBeat);
    return host.facts;
  }
  if (host === undefined) throw new Error('no job is open');
  switch (call.method) {
    case 'gradient':
      faults.passing('in the engine', { position: call.args[0].update });
      return host.gradient(...call.args);
    case 'update':
      return host.update(...call.args);
    case 'validate':
      return host.validate(...call.args);
    case 'outputs':
      return host.outputs(...call.args);
    case 'netOutputs':
      return host.netOutputs(...call.args);
    case 'reset':
      return host.reset();
    case 'load':
      return host.load(...call.args);
    case 'state':
      return host.state();
    case 'evaluatedWeights':
      return host.evaluatedWeights();
    case 'close':
      host.close();
      host = undefined;
      return undefined;
  }
}
