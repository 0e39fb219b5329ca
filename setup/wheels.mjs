import { readFileSync } from 'node:fs';

/** @typedef {import('./index.mjs').Wheel} Wheel */

/** @type {{ tensorflow: { version: string } & Record<string, Wheel[]>, natsServer: { version: string } & Record<string, Wheel> }} */
const locked = JSON.parse(readFileSync(new URL('wheels.json', import.meta.url), 'utf8'));

export const tensorflowVersion = locked.tensorflow.version;
export const brokerVersion = locked.natsServer.version;

/**
 * @param {string} variant `<platform>-<arch>-<cpu|gpu>`
 * @returns {readonly Wheel[] | undefined}
 */
export function wheelsFor(variant) {
  return locked.tensorflow[variant];
}

/**
 * @param {string} platform `<platform>-<arch>`
 * @returns {Wheel | undefined}
 */
export function brokerWheelFor(platform) {
  return locked.natsServer[platform];
}
