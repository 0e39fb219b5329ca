/** Checks of a broker that runs elsewhere. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { askNode, built } from './process.mjs';

/** @typedef {import('./doctor.mjs').Patient} Patient */
/** @typedef {import('./doctor.mjs').Finding} Finding */
/**
 * What a broker has said; `skewMs` is how much its clock is ahead, where it has told the time.
 * @typedef {{ version: string, maxPayload: number, jetstream: string | undefined, roundTripMs: number, skewMs: number | undefined } | { why: string }} Asked
 */

const question = `
  const [address, connection, subjects, url] = process.argv.slice(1);
  const { withAccess } = await import(address);
  const { connectBroker } = await import(connection);
  const { SeatStream } = await import(subjects);
  const nats = await connectBroker(withAccess(url, process.env), 'doctor', 'client');
  const asked = { timeout: 5000 };
  const jetstream = await nats.request('$JS.API.INFO', '', asked).then(
    (reply) => reply.json().error?.description ?? 'on',
    (error) => error.code === '503' ? 'off' : error.message,
  );
  const sent = Date.now();
  const told = await nats.request('$JS.API.STREAM.INFO.' + SeatStream, '', asked).then((reply) => reply.json(), () => ({}));
  const received = Date.now();
  const roundTripMs = await nats.rtt();
  const { version, max_payload } = nats.info;
  const skewMs = told.ts === undefined ? undefined : Date.parse(told.ts) - (sent + received) / 2;
  const answer = { version, maxPayload: max_payload, jetstream: jetstream === 'on' ? undefined : jetstream, roundTripMs, skewMs };
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
`;

/**
 * @param {Patient} patient
 * @returns {Promise<Asked>}
 */
export async function askBroker(patient) {
  const { root, env, nats = '' } = patient;
  const modules = ['broker/address', 'broker/connection', 'broker/subjects'];
  if (!existsSync(join(root, 'node_modules')) || !existsSync(join(root, 'shared', 'dist')))
    return { why: 'it cannot be asked before packages and build are there' };
  const addresses = modules.map((module) => built(patient, 'shared', module));
  const { ok, output, errors } = await askNode(question, [...addresses, nats], env);
  if (ok) return JSON.parse(output);
  return { why: /(?:Unreachable|Config)Error: (.*)/.exec(errors)?.[1] ?? errors.split('\n').at(-1) ?? 'unknown' };
}

const leastPayload = 64 * 1024;
/** NATS' own default; gradients go in pieces of it. */
const goodPayload = 1024 * 1024;

/** @param {Patient} patient @returns {Promise<Finding | undefined>} */
export async function broker({ nats, asked }) {
  if (nats === undefined) return undefined;
  const answer = await asked();
  if ('why' in answer) return { status: 'fail', found: answer.why };
  const { version, maxPayload, jetstream, roundTripMs } = answer;
  const found = `nats-server ${version}, ${roundTripMs} ms away, max_payload ${maxPayload} bytes, JetStream ${jetstream ?? 'on'}`;
  if (jetstream !== undefined)
    return {
      status: 'fail',
      found,
      remedy: [
        'switch JetStream on: nats-server -js -sd FOLDER, or jetstream { store_dir: FOLDER } in its configuration',
      ],
    };
  if (maxPayload < leastPayload)
    return {
      status: 'fail',
      found,
      remedy: [`set max_payload: 1MB in its configuration; ${leastPayload} is the least`],
    };
  if (maxPayload < goodPayload)
    return {
      status: 'warn',
      found,
      remedy: ['set max_payload: 1MB in its configuration: gradients go in such pieces'],
    };
  return { status: 'ok', found };
}

/** Certificates and leases are compared with the time of day. */
const tolerableSkewMs = 5000;
const releasedIn = Date.UTC(2026, 0, 1);

/** @param {Patient} patient @returns {Promise<Finding>} */
export async function clock({ nats, asked }) {
  const now = Date.now();
  const remedy = ['set the clock, and keep it right: timedatectl set-ntp true, or chrony'];
  const found = new Date(now).toISOString();
  if (now < releasedIn) return { status: 'fail', found: `${found} is in the past`, remedy };
  const answer = nats === undefined ? undefined : await asked();
  if (answer === undefined || 'why' in answer || answer.skewMs === undefined) return { status: 'ok', found };
  const apart = `${found}, ${Math.abs(answer.skewMs / 1000).toFixed(1)} s ${answer.skewMs < 0 ? 'ahead of' : 'behind'} the broker's`;
  return Math.abs(answer.skewMs) > tolerableSkewMs
    ? { status: 'warn', found: apart, remedy }
    : { status: 'ok', found: apart };
}
