/**
 * Every error that a user can meet, one class a cause. The process's exit code follows from the class, so that no
 * caller has to know the codes. Anything else that is thrown is a defect and keeps its stack trace.
 */
export const ExitCode = { done: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Base of the errors that are meant for the user: a message says what is wrong and what to do about it, no stack. */
export class CrossfoldError extends Error {
  readonly exitCode: ExitCode;
  constructor(message: string, exitCode: ExitCode, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.exitCode = exitCode;
  }
}

/** The experiment ran and did not succeed: a job failed, a data set turned out damaged, weights diverged. */
export class ExperimentFailedError extends CrossfoldError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, ExitCode.failed, options);
  }
}

/** Where in a configuration something is wrong. */
export interface ConfigProblem {
  /** Dotted path of the field, e.g. `training.optimizer.learningRate`. */
  readonly field: string;
  /** What was found there, as the user would recognise it. */
  readonly value?: string;
  /** What would be right, and the remedy where there is one. */
  readonly allowed: string;
  /** File and 1-based line of the field, where it came from a file. */
  readonly file?: string;
  readonly line?: number;
}

/** Bad usage or configuration: nothing was started, nothing was written. */
export class ConfigError extends CrossfoldError {
  readonly problem: ConfigProblem | undefined;
  constructor(problem: ConfigProblem | string) {
    super(typeof problem === 'string' ? problem : describeProblem(problem), ExitCode.usage);
    this.problem = typeof problem === 'string' ? undefined : problem;
  }
}

/** The broker, or what should answer behind it, cannot be reached. */
export class UnreachableError extends CrossfoldError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, ExitCode.unreachable, options);
  }
}

/** What to do about a broker without room. */
export const roomRemedy =
  'free space on its disk, remove experiments and data sets that nobody needs (crossfold remove, crossfold data remove), or raise its limits (CROSSFOLD_QUOTA_STORAGE of the coordinators, where that is set)';

/** The broker has no room for what should be stored. What it holds is intact; the remedy is room. */
export class BrokerFullError extends CrossfoldError {
  constructor(message: string, options?: ErrorOptions) {
    super(`${message}; ${roomRemedy}`, ExitCode.failed, options);
  }
}

/** Whether an error says that the broker could not be used for a while: nothing is wrong with what was asked of it. */
export const isBrokerTrouble = (error: unknown): boolean =>
  error instanceof UnreachableError || error instanceof BrokerFullError;

/** The user asked to stop. */
export class InterruptedError extends CrossfoldError {
  constructor(message: string) {
    super(message, ExitCode.interrupted);
  }
}

/** Bytes are not what their digest says, or cannot be decoded. */
export class DamagedDataError extends CrossfoldError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, ExitCode.failed, options);
  }
}

/** A wait ran into its bound; the message names what was waited for and for how long. */
export class TimeoutError extends CrossfoldError {
  constructor(waitingFor: string, milliseconds: number) {
    super(`gave up waiting for ${waitingFor} after ${(milliseconds / 1000).toFixed(1)} s`, ExitCode.failed);
  }
}

function describeProblem(p: ConfigProblem): string {
  const where = p.file === undefined ? '' : `${p.file}${p.line === undefined ? '' : `:${p.line}`}: `;
  const value = p.value === undefined ? '' : ` is ${p.value}`;
  return `${where}${p.field}${value}: ${p.allowed}`;
}
