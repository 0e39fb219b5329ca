import { answersToSettle, Clocks } from '@crossfold/coordinator/timeline/clocks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('clocks of others', () => {
  it('are read from the quickest answer, to half the time that it took', () => {
    const clocks = new Clocks();
    clocks.asked(0, 1000);
    // The other is 500 ahead; the question took 40, the answer 10.
    clocks.answered('a', 0, 1540, 1050);
    expect(clocks.here('a', 1540)).toBe(1025);
    expect(clocks.uncertainty('a')).toBe(25);
    clocks.asked(1, 2000);
    clocks.answered('a', 1, 2502, 2004);
    expect(clocks.here('a', 2502)).toBe(2002);
    // A slow one tells less.
    clocks.asked(2, 3000);
    clocks.answered('a', 2, 3600, 3200);
    expect(clocks.here('a', 2502)).toBe(2002);
  });

  it('once known stay as they are until an answer contradicts them', () => {
    const clocks = new Clocks();
    const answer = (question: number, ahead: number, took: number): void => {
      clocks.asked(question, 1000 * question);
      clocks.answered('a', question, 1000 * question + took / 2 + ahead, 1000 * question + took);
    };
    for (let question = 0; question < answersToSettle; question++) {
      expect(clocks.settled('a')).toBe(false);
      answer(question, 100, 4);
    }
    expect(clocks.settled('a')).toBe(true);
    // Quicker, and at odds with nothing.
    answer(10, 101, 1);
    expect(clocks.here('a', 0)).toBe(-100);
    // It has drifted.
    answer(11, 110, 4);
    expect(clocks.here('a', 0)).toBe(-110);
  });

  it('are unknown until they have answered a question that was asked', () => {
    const clocks = new Clocks(2);
    expect(clocks.here('a', 1)).toBeUndefined();
    clocks.answered('a', 0, 1, 2);
    expect(clocks.here('a', 1)).toBeUndefined();
    for (const question of [0, 1, 2]) clocks.asked(question, question);
    // Long forgotten.
    clocks.answered('a', 0, 1, 2);
    expect(clocks.here('a', 1)).toBeUndefined();
  });

  it('are never further off than is said', () => {
    const ms = fc.double({ min: 0, max: 100, noNaN: true });
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.array(fc.tuple(ms, ms), { minLength: 1 }),
        (ahead, delays) => {
          const clocks = new Clocks();
          let now = 0;
          delays.forEach(([there, back], question) => {
            clocks.asked(question, now);
            const theirs = now + there + ahead;
            now += there + back;
            clocks.answered('a', question, theirs, now);
          });
          const off = Math.abs((clocks.here('a', 5000 + ahead) ?? Number.NaN) - 5000);
          expect(off).toBeLessThanOrEqual((clocks.uncertainty('a') ?? 0) + 1e-6);
        },
      ),
    );
  });
});
