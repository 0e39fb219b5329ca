/**
 * The course of a job: in each epoch its train steps and then one validation. A position counts both, so that where a
 * member stands is one number, members of a group differ by at most one, and a job that lost all its members goes on
 * from the position of its newest checkpoint.
 */
export interface Course {
  readonly epochs: number;
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

/** What is to be done at a position; epochs, steps and updates count from 0, and there are `updates` of them in all. */
export function actionAt(course: Course, position: number): Action {
  const perEpoch = course.stepsPerEpoch + 1;
  const epoch = Math.floor(position / perEpoch);
  const step = position % perEpoch;
  if (epoch >= course.epochs) return { kind: 'done' };
  if (step === course.stepsPerEpoch) return { kind: 'validate', epoch };
  const updates = course.epochs * course.stepsPerEpoch;
  return { kind: 'step', epoch, step, update: epoch * course.stepsPerEpoch + step, updates };
}

/** The position at which the job is done. */
export const lastPosition = (course: Course): number => course.epochs * (course.stepsPerEpoch + 1);
