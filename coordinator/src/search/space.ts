import type { Domain, SearchSpec } from '@crossfold/shared/config/search';
import { listed } from '@crossfold/shared/config/search';
import { canonicalJson } from '@crossfold/shared/data/digest';
import { keyedRandom } from '@crossfold/shared/rng';
import type { Problem } from '../config/issues.ts';

/** What distinguishes a trial: values by dotted path. */
export type Parameters = Readonly<Record<string, unknown>>;

/** Configurations that a search may have. */
export const maxTrials = 10_000;

/** Draws tried for each configuration wanted, before a space counts as exhausted. */
const drawsPerTrial = 200;
/** Draws that are spread over a parameter's whole range together. */
const block = 16;

/**
 * The configurations of a search, in the order of their trials; no two alike. A draw depends on the seed, its number and
 * the parameter's path alone: another parameter, or more trials, change nothing about those there are.
 *
 * Draws are Latin hypercubes, one after another (M. McKay et al., "A Comparison of Three Methods for Selecting Values of
 * Input Variables", Technometrics 1979): of each `block` of them one lies in every 1/`block` of each parameter's range, in
 * an order of the parameter's own. So none of the few parameters that matter has large gaps by bad luck.
 *
 * @returns what is wrong with the search, where it cannot be
 */
export function trialParameters(search: SearchSpec, seed: number): Parameters[] | Problem {
  const domains = Object.entries(search.parameters);
  const wanted = search.method === 'grid' ? undefined : search.trials;
  const size = domains.reduce((product, [, domain]) => product * sizeOf(domain), 1);
  if (wanted === undefined) {
    const range = domains.find(([, domain]) => listed(domain) === undefined);
    if (range !== undefined)
      return {
        path: ['search', 'parameters', range[0]],
        value: JSON.stringify(range[1]),
        allowed:
          search.method === 'grid'
            ? 'must be a list of values in a grid; ranges are for random, halving and racing'
            : 'is a range, so how many configurations to draw must be said: search.trials',
      };
    if (size > maxTrials)
      return {
        path: ['search', 'parameters'],
        allowed: `make ${size} combinations, and must make at most ${maxTrials}`,
      };
    return combinations(domains);
  }
  if (wanted > size)
    return {
      path: ['search', 'trials'],
      value: String(wanted),
      allowed: `must be at most the number of different configurations, which is ${size}`,
    };
  return draw(domains, wanted, seed);
}

/** Every combination; the last parameter varies fastest. */
function combinations(domains: readonly (readonly [string, Domain])[]): Parameters[] {
  let all: Record<string, unknown>[] = [{}];
  for (const [path, domain] of domains)
    all = all.flatMap((before) => (listed(domain) ?? []).map((value) => ({ ...before, [path]: value })));
  return all;
}

function draw(domains: readonly (readonly [string, Domain])[], wanted: number, seed: number): Parameters[] | Problem {
  const trials = new Map<string, Parameters>();
  for (let number = 0; trials.size < wanted && number < wanted * drawsPerTrial; number++) {
    const parameters = Object.fromEntries(
      domains.map(([path, domain]) => [path, drawFrom(domain, spread(seed, path, number))]),
    );
    const key = canonicalJson(parameters);
    if (!trials.has(key)) trials.set(key, parameters);
  }
  if (trials.size < wanted)
    return {
      path: ['search', 'trials'],
      value: String(wanted),
      allowed: `is more than there are different configurations to draw: ${trials.size} were found; fewer trials, or wider ranges`,
    };
  return [...trials.values()];
}

/** A parameter's place in its range, from 0 up to 1, in the draw of a number. */
function spread(seed: number, path: string, number: number): number {
  const order = Uint32Array.from({ length: block }, (_, i) => i);
  keyedRandom(seed, 'search', 'block', Math.floor(number / block), path).shuffle(order);
  const inside = keyedRandom(seed, 'search', number, path).uniform();
  return ((order[number % block] ?? 0) + inside) / block;
}

/** @param place from 0 up to 1 */
function drawFrom(domain: Domain, place: number): unknown {
  const one = (count: number): number => Math.min(count - 1, Math.floor(place * count));
  const values = listed(domain);
  if (values !== undefined) return values[one(values.length)];
  if ('uniform' in domain) return within(domain.uniform, (low, high) => low + place * (high - low));
  if ('logUniform' in domain)
    return within(domain.logUniform, (low, high) => low * Math.exp(place * Math.log(high / low)));
  if ('integer' in domain) {
    const [low] = domain.integer;
    return low + domain.step * one(sizeOf(domain));
  }
  if ('logInteger' in domain) {
    // A whole number stands for what rounds to it, so that both ends are drawn as often as their neighbours.
    const [low, high] = domain.logInteger;
    const drawn = (low - 0.5) * Math.exp(place * Math.log((high + 0.5) / (low - 0.5)));
    return Math.min(high, Math.max(low, Math.round(drawn)));
  }
  throw new Error('a domain is a list or a range');
}

/** A number drawn from a range, to six significant digits, so that it reads, and reads back, as what it is. */
function within([low, high]: readonly [number, number], drawn: (low: number, high: number) => number): number {
  return Math.min(high, Math.max(low, Number(drawn(low, high).toPrecision(6))));
}

/** How many different values a domain has; infinite for ranges of numbers. */
function sizeOf(domain: Domain): number {
  const values = listed(domain);
  if (values !== undefined) return values.length;
  if ('integer' in domain) return Math.floor((domain.integer[1] - domain.integer[0]) / domain.step) + 1;
  if ('logInteger' in domain) return domain.logInteger[1] - domain.logInteger[0] + 1;
  return Number.POSITIVE_INFINITY;
}

export const isProblem = (value: object): value is Problem => 'allowed' in value && 'path' in value;
