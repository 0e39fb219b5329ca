import type { EngineSession, Gradient } from '../engine/session.ts';
import type { SliceRange } from '../exchange/tree.ts';
import type { Action } from './course.ts';

type Step = Extract<Action, { kind: 'step' }>;

/**
 * A member's gradients. The next step's is asked for together with the update that comes before it, so that the engine
 * goes on without waiting for word of it. One that turns out not to be wanted (the group has changed) is dropped: the
 * gradient of a step depends on nothing but the weights at its position and the slices.
 */
export class Gradients {
  readonly #engine: Pick<EngineSession, 'gradient'>;
  #ahead: { readonly position: number; readonly slices: SliceRange; readonly gradient: Promise<Gradient> } | undefined;

  constructor(engine: Pick<EngineSession, 'gradient'>) {
    this.#engine = engine;
  }

  /** To be called right after the update to the weights at `position` has been asked for. */
  askAhead(position: number, step: Step, slices: SliceRange): void {
    const gradient = this.#engine.gradient(step, slices);
    // Whoever takes it sees its failure; nobody may.
    gradient.catch(() => undefined);
    this.#ahead = { position, slices, gradient };
  }

  /** The gradient of a step at the weights of `position`, which are the engine's now. */
  of(position: number, step: Step, slices: SliceRange): Promise<Gradient> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const fits = ahead?.position === position && ahead.slices.from === slices.from && ahead.slices.to === slices.to;
    return fits ? ahead.gradient : this.#engine.gradient(step, slices);
  }
}
