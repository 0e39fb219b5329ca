import { fullBelowBytes, roomFromBytes, roomKeeper } from '@crossfold/coordinator/cluster/room';
import { expect, it } from 'vitest';

it('a disk that runs full is said once, and the broker restarted once there is room again, every time anew', () => {
  const decide = roomKeeper();
  const seen = [
    10 * roomFromBytes,
    fullBelowBytes,
    fullBelowBytes - 1,
    0,
    fullBelowBytes,
    roomFromBytes - 1,
    roomFromBytes,
    10 * roomFromBytes,
    fullBelowBytes,
    0,
    10 * roomFromBytes,
  ].map(decide);
  const nothing = undefined;
  expect(seen).toEqual([
    nothing,
    nothing,
    'say',
    nothing,
    nothing,
    nothing,
    'restart',
    nothing,
    nothing,
    'say',
    'restart',
  ]);
});

it('a disk that is full from the beginning is said at once', () => {
  expect(roomKeeper()(0)).toBe('say');
});
