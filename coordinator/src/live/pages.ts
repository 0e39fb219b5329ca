import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal, placeName } from '@crossfold/shared/jobs/records';
import { duration, rate } from '../cli/progress/text.ts';
import type { ExperimentStanding, JobNews } from '../metrics/standing.ts';
import { type Html, html } from '../results/report/html.ts';
import { asset, page } from '../results/report/page.ts';
import { scriptsOf, tooltip } from '../results/report/report.ts';
import { count, percent, whole } from '../results/text.ts';

/** Running jobs that are listed; the others are counted. */
const maxListed = 50;

/** An experiment in the list of all. */
export interface ListedExperiment {
  readonly record: ExperimentRecord;
  /** Share of its jobs that are over. */
  readonly progress: number;
  /** Of its best trial, over the folds that are finished. */
  readonly accuracy: number | undefined;
}

/** Experiments, as the list's page shows them. */
export function listHtml(rows: readonly ListedExperiment[], total: number, now: number): Html {
  if (rows.length === 0)
    return html`<p class="lead">There are no experiments yet.</p><p><code>crossfold submit FILE</code> adds one.</p>`;
  return html`<div class="scroll"><table><caption class="away">Experiments, newest first</caption>
<thead><tr><th class="text" scope="col">experiment</th><th class="text" scope="col">state</th><th scope="col">progress</th><th scope="col">mean accuracy</th><th scope="col">jobs</th><th scope="col">time</th><th class="text" scope="col">submitted (UTC)</th></tr></thead>
<tbody>${rows.map((row) => listRow(row, now))}</tbody></table></div>
<p class="note">Mean accuracy is that of the best trial, over the folds that are finished.${rows.length < total ? ` The newest ${rows.length} of ${whole(total)} experiments are shown.` : ''}</p>`;
}

function listRow({ record, progress, accuracy }: ListedExperiment, now: number): Html {
  const { id, name, state, jobs, createdAt } = record;
  return html`<tr class="${state}"><th class="text" scope="row"><a href="/experiments/${id}">${name}</a><br><small>${id}</small></th><td class="text"><span class="badge ${state}">${state}</span></td><td>${Math.round(100 * progress)} %</td><td>${accuracy === undefined ? '' : percent(accuracy)}</td><td>${jobs === 0 ? '' : whole(jobs)}</td><td>${timeOf(record, now)}</td><td class="text">${new Date(createdAt).toISOString().slice(0, 16).replace('T', ' ')}</td></tr>`;
}

const timeOf = ({ startedAt, finishedAt }: ExperimentRecord, now: number): string =>
  startedAt === null ? '' : duration((finishedAt ?? now) - startedAt);

/** The page of all experiments. */
export function listPage(list: Html): string {
  const body = html`<main><header class="top"><p class="kind">Crossfold</p><h1>Experiments</h1></header>
<section id="live" data-events="/events">${list}</section>
<p class="note"><a href="/metrics">metrics</a> · <a href="/readyz">readiness</a></p></main>`;
  return page({ title: 'Crossfold: experiments', body, scripts: [asset('live.js')], isLive: true });
}

/** How an experiment that is under way stands, for a page that is told of changes by the events at `events`. */
export const liveSection = (content: Html, events: string): Html =>
  html`<section id="live" aria-label="How it stands now" data-events="${events}">${content}</section>`;

/**
 * What changes while nothing is finished: counts, and the jobs that run with what they have come to.
 *
 * @param below what the page shows below of the folds that are finished
 */
export function liveHtml(
  record: ExperimentRecord,
  standing: ExperimentStanding,
  jobs: readonly JobRecord[],
  news: ReadonlyMap<string, JobNews>,
  below: string,
): Html {
  const own = jobs.filter(({ kind }) => kind === 'train');
  const over = own.filter(({ state }) => isFinal(state)).length;
  const total = Math.max(record.jobs, own.length);
  const others = [...standing.states].filter(([state]) => !isFinal(state)).map(([state, n]) => `${whole(n)} ${state}`);
  const left = standing.remainingSeconds;
  const counted =
    total === 0 ? 'the data set is cut and the folds are made' : `${over} of ${count(total, 'fold')} over`;
  const text = [
    counted,
    ...others,
    ...(left === undefined ? [] : [`${standing.atMost ? 'at most ' : ''}about ${duration(1000 * left)} left`]),
  ].join(', ');
  const active = jobs.filter(({ members, state }) => members.length > 0 && !isFinal(state));
  return html`<p class="kind"><a href="/">All experiments</a></p>
<p class="lead"><span class="badge ${record.state}">${record.state}</span> ${text}. <progress max="100" value="${Math.round(100 * standing.progress)}" aria-label="Progress"></progress> ${Math.round(100 * standing.progress)} %</p>
${active.length === 0 ? undefined : runningTable(active, news)}
<p class="note">${below}</p>`;
}

function runningTable(jobs: readonly JobRecord[], news: ReadonlyMap<string, JobNews>): Html {
  const rows = jobs.slice(0, maxListed).map((job) => {
    const { progress, validation } = news.get(job.id) ?? {};
    const at = progress === undefined || progress.epochs === 0 ? '' : `${progress.epoch} of ${progress.epochs}`;
    return html`<tr><th scope="row">${job.kind === 'test' ? 'test' : job.trial}</th><td>${placeName(job)}</td><td>${job.state}</td><td>${at}</td><td>${progress?.accuracy === undefined ? '' : percent(progress.accuracy)}</td><td>${validation === undefined ? '' : percent(validation.accuracy)}</td><td>${progress === undefined ? '' : rate(progress.imagesPerSecond)}</td><td class="text">${job.members.map(({ worker }) => worker).join(', ')}</td></tr>`;
  });
  const more =
    jobs.length > maxListed ? html`<p class="note">${whole(jobs.length - maxListed)} more run.</p>` : undefined;
  return html`<div class="scroll"><table><caption>Under way</caption><thead><tr><th scope="col">trial</th><th scope="col">fold</th><th scope="col">state</th><th scope="col">epoch</th><th scope="col">accuracy</th><th scope="col">validation accuracy</th><th scope="col">speed</th><th class="text" scope="col">workers</th></tr></thead><tbody>${rows}</tbody></table></div>${more}`;
}

/** What can be done with an experiment, shown to whoever gives the token; the script does it. */
export function manageSection({ id, state }: ExperimentRecord): Html {
  const verb = !isFinal(state) ? 'cancel' : state === 'completed' ? undefined : 'resume';
  const what = { cancel: 'Cancel this experiment', resume: 'Resume this experiment' } as const;
  if (verb === undefined) return html``;
  return html`<section id="manage" aria-label="Manage"><details data-name="manage"><summary>Manage</summary>
<noscript><p>That takes the page’s script; <code>crossfold ${verb} ${id}</code> does the same.</p></noscript>
<p class="locked" hidden><label>Token <input type="password" autocomplete="off" spellcheck="false" maxlength="512"></label> <button type="button" data-do="unlock">Unlock</button></p>
<p class="unlocked" hidden><button type="button" data-do="${verb}" data-path="/experiments/${id}/${verb}">${what[verb]}</button> <button type="button" data-do="forget">Forget the token</button></p>
<p class="note">What is computed stays; a cancelled experiment can be resumed.</p></details></section>`;
}

/** The page of an experiment that has no results to report, not yet or not at all. */
export function barePage(record: ExperimentRecord, live?: Html, canWrite = false): string {
  const { name, id, state, error } = record;
  const body = html`<main>${live ?? html`<p class="kind"><a href="/">All experiments</a></p>`}
<header class="top"><h1>${name} <span class="badge ${state}">${state}</span></h1><p class="facts"><span class="id">${id}</span></p></header>
${error === null ? undefined : html`<pre>${error}</pre>`}${canWrite ? html`\n${manageSection(record)}` : undefined}</main>
${tooltip}`;
  // The report that it becomes needs its script from the beginning.
  const scripts = scriptsOf(live !== undefined, canWrite);
  return page({ title: `${name}: Crossfold`, body, scripts, isLive: live !== undefined || canWrite });
}
