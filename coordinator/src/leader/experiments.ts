import { Experiment } from '@crossfold/shared/config/experiment';
import { CrossfoldError, DamagedDataError, ExitCode } from '@crossfold/shared/errors';
import type { Manifest } from '@crossfold/shared/data/manifest';
import type { BlobRef, ExperimentRecord, JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { isFinal, jobId } from '@crossfold/shared/jobs/records';
import { TrialPlan } from '@crossfold/shared/jobs/plan';
import { FoldResult, TestResult } from '@crossfold/shared/results';
import { cut } from '../data/cut.ts';
