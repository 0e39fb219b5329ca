import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

/** The labels of a metric, each with the values that it can have where they are known. */
export type MetricLabels = ReadonlyMap<string, readonly string[] | undefined>;
export type Metrics = ReadonlyMap<string, MetricLabels>;

export interface Checked {
  /** Labels that its series have; undefined where it is a number. */
  readonly labels: ReadonlySet<string> | undefined;
  readonly problems: readonly string[];
}

/** Grafana's own variables that stand in the place of a duration. */
const durations = /\$\{?__(range|interval|rate_interval)\}?/g;

/** A place in an expression that is the name of a metric or of a label, or a label's value. */
export interface Name {
  readonly kind: 'metric' | 'label' | 'value';
  readonly from: number;
  readonly to: number;
}

/**
 * What an expression asks for that there is not: metrics that are not known, labels that they do not have wherever labels
 * stand (matchers, by, without, on, ignoring, group_left), values that a label cannot have, sides of an operator whose
 * labels can never be equal; and which labels its series have.
 */
export function checkQuery(text: string, metrics: Metrics): Checked {
  const expr = text.replaceAll(durations, (variable) => '5m'.padEnd(variable.length));
  const checker = new Checker(expr, metrics);
  const { topNode } = parser.parse(expr);
  checker.errors(topNode);
  const labels = checker.problems.length > 0 ? undefined : checker.labelsOf(topNode);
  return { labels, problems: checker.problems };
}

/** Every name in an expression, where it stands. */
export function namesIn(text: string): Name[] {
  const expr = text.replaceAll(durations, (variable) => '5m'.padEnd(variable.length));
  const names: Name[] = [];
  parser.parse(expr).iterate({
    enter: ({ name, from, to, node }) => {
      if (name === 'Identifier') names.push({ kind: 'metric', from, to });
      if (name === 'LabelName') names.push({ kind: 'label', from, to });
      if (name === 'StringLiteral' && node.parent?.name === 'UnquotedLabelMatcher')
        names.push({ kind: 'value', from: from + 1, to: to - 1 });
    },
  });
  return names;
}

const wrappers = ['PromQL', 'ParenExpr', 'OffsetExpr', 'StepInvariantExpr', 'SubqueryExpr', 'MatrixSelector'];
const setOperators = ['And', 'Or', 'Unless'];

class Checker {
  readonly problems: string[] = [];
  readonly #expr: string;
  readonly #metrics: Metrics;

  constructor(expr: string, metrics: Metrics) {
    this.#expr = expr;
    this.#metrics = metrics;
  }

  errors(top: SyntaxNode): void {
    top.cursor().iterate(({ type, from, to }) => {
      if (type.isError)
        this.problems.push(`no PromQL at ${from}: ${this.#expr.slice(Math.max(0, from - 10), to + 10)}`);
    });
  }

  labelsOf(node: SyntaxNode): ReadonlySet<string> | undefined {
    if (wrappers.includes(node.name)) return this.#first(node);
    switch (node.name) {
      case 'UnaryExpr':
        return node.lastChild === null ? undefined : this.labelsOf(node.lastChild);
      case 'VectorSelector':
        return this.#selector(node);
      case 'AggregateExpr':
        return this.#aggregate(node);
      case 'FunctionCall':
        return this.#call(node);
      case 'BinaryExpr':
        return this.#binary(node);
      case 'NumberDurationLiteral':
      case 'StringLiteral':
        return undefined;
      default:
        this.problems.push(`${node.name} is not known to this check`);
        return undefined;
    }
  }

  #first(node: SyntaxNode): ReadonlySet<string> | undefined {
    return node.firstChild === null ? undefined : this.labelsOf(node.firstChild);
  }

  #text(node: SyntaxNode): string {
    return this.#expr.slice(node.from, node.to);
  }

  #selector(node: SyntaxNode): ReadonlySet<string> {
    const identifier = node.getChild('Identifier');
    const name = identifier === null ? '' : this.#text(identifier);
    const known = this.#metrics.get(name);
    if (known === undefined) {
      this.problems.push(`there is no metric ${name === '' ? this.#text(node) : name}`);
      return new Set();
    }
    for (const matcher of node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? []) {
      const [label = '', operator = '', value = ''] = children(matcher).map((child) => this.#text(child));
      this.#has(name, known, label);
      const values = known.get(label);
      const wanted = value.slice(1, -1);
      if (values === undefined || wanted.startsWith('$')) continue;
      for (const one of operator.includes('~') ? wanted.split('|') : [wanted]) {
        const found = operator.includes('~')
          ? values.some((v) => new RegExp(`^(?:${one})$`).test(v))
          : values.includes(one);
        if (!found) this.problems.push(`${name}'s ${label} is never ${one}`);
      }
    }
    return new Set(known.keys());
  }

  #has(what: string, labels: ReadonlySet<string> | MetricLabels, label: string): void {
    if (!labels.has(label)) this.problems.push(`${what} has no label ${label}`);
  }

  #texts(node: SyntaxNode | null): string[] {
    return (node?.getChildren('StringLiteral') ?? []).map((text) => this.#text(text).slice(1, -1));
  }

  #listed(node: SyntaxNode | null): string[] {
    return (node?.getChildren('LabelName') ?? []).map((label) => this.#text(label));
  }

  #aggregate(node: SyntaxNode): ReadonlySet<string> | undefined {
    const operation = node.getChild('AggregateOp')?.firstChild?.name ?? '';
    const modifier = node.getChild('AggregateModifier');
    const listed = this.#listed(modifier?.getChild('GroupingLabels') ?? null);
    const body = node.getChild('FunctionCallBody');
    const inner = body?.lastChild == null ? undefined : this.labelsOf(body.lastChild);
    if (inner === undefined) {
      this.problems.push(`${this.#text(node)} is of a number`);
      return undefined;
    }
    for (const label of listed) this.#has(this.#text(node), inner, label);
    if (/^(topk|bottomk|limitk|limit_ratio)$/i.test(operation)) return inner;
    // It makes a label of the value.
    if (/^countvalues$/i.test(operation)) return new Set([...listed, ...this.#texts(body)]);
    if (modifier?.getChild('Without') != null) return new Set([...inner].filter((label) => !listed.includes(label)));
    return new Set(listed);
  }

  #call(node: SyntaxNode): ReadonlySet<string> | undefined {
    const called = node.getChild('FunctionIdentifier')?.firstChild?.name ?? '';
    const parts = children(node.getChild('FunctionCallBody'));
    const vectors = parts.map((part) => this.labelsOf(part));
    const inner = vectors.find((labels) => labels !== undefined);
    if (called === 'Vector') return new Set();
    if (called === 'Scalar' || called === 'Time') return undefined;
    if (called === 'HistogramQuantile') {
      this.#has(this.#text(node), inner ?? new Set(), 'le');
      return new Set([...(inner ?? [])].filter((label) => label !== 'le'));
    }
    if (called === 'LabelReplace' || called === 'LabelJoin' || called === 'Absent')
      this.problems.push(`${called} is not known to this check`);
    return inner;
  }

  #binary(node: SyntaxNode): ReadonlySet<string> | undefined {
    const all = children(node);
    const [first, last] = [all[0], all.at(-1)];
    const operator = all[1]?.name ?? '';
    const left = first === undefined ? undefined : this.labelsOf(first);
    const right = last === undefined ? undefined : this.labelsOf(last);
    if (left === undefined || right === undefined) return left ?? right;
    const clause = node.getChild('MatchingModifierClause');
    const what = this.#text(node);
    if (clause === null) {
      if (operator === 'Or') return new Set([...left, ...right]);
      const differ = [...left, ...right].filter((label) => !(left.has(label) && right.has(label)));
      if (differ.length > 0) this.problems.push(`${what}: only one side has ${[...new Set(differ)].join(', ')}`);
      return left;
    }
    const [listed = [], more = []] = clause.getChildren('GroupingLabels').map((group) => this.#listed(group));
    const on = clause.getChild('On') !== null;
    for (const label of listed)
      for (const side of on ? [left, right] : [new Set([...left, ...right])]) this.#has(what, side, label);
    if (setOperators.includes(operator)) return operator === 'Or' ? new Set([...left, ...right]) : left;
    const [many, one] = clause.getChild('GroupRight') === null ? [left, right] : [right, left];
    for (const label of more) this.#has(what, one, label);
    if (clause.getChild('GroupLeft') !== null || clause.getChild('GroupRight') !== null)
      return new Set([...many, ...more]);
    return on ? new Set(listed) : new Set([...left].filter((label) => !listed.includes(label)));
  }
}

function children(node: SyntaxNode | null): SyntaxNode[] {
  const all: SyntaxNode[] = [];
  for (let child = node?.firstChild ?? null; child !== null; child = child.nextSibling) all.push(child);
  return all;
}
