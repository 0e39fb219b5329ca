/**
 * The course of a job: in each epoch its train steps and then one validation. A position counts both, so that where a
 * member stands is one number, members of a group differ by at most one, and a job that lost all its members goes on
 * from the position of its newest checkpoint.
 */
export interface Course {
  /** Of the whole training: what a learning rate's schedule goes by. */
  readonly epochs: number;
  /** After so many the job stops for now: more may be wanted of it later. */
  readonly until: number;
  readonly stepsPerEpoch: number;
}

export type Action =
  | {
      readonly kind: 'step';
      readonly epoch: number;
      readonly step: number;
      readonly update: number;
      readonly updates: number;
    }
  | { readonly kind: 'validate'; readonly epoch: number }
  | { readonly kind: 'done' };

/** What is to be done at a position; epochs, steps and updates count from 0, `updates` are those of the whole training. */
export function actionAt(course: Course, position: number): Action {
  const perEpoch = course.stepsPerEpoch + 1;
  const epoch = Math.floor(position / perEpoch);
  const step = position % perEpoch;
  if (epoch >= course.until) return { kind: 'done' };
  if (step === course.stepsPerEpoch) return { kind: 'validate', epoch };
  const updates = course.epochs * course.stepsPerEpoch;
  return { kind: 'step', epoch, step, update: epoch * course.stepsPerEpoch + step, updates };
}

/** The position at which the job is done, for now. */
export const lastPosition = (course: Course): number => course.until * (course.stepsPerEpoch + 1);
