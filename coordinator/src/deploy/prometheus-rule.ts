import { parse, stringify } from 'yaml';
import { z } from 'zod';

const RuleFile = z.object({ groups: z.array(z.looseObject({ name: z.string() })) });

/** Prometheus' rule files as the one resource that its operator reads, in YAML. */
export function prometheusRule(files: readonly string[]): string {
  const groups = files.flatMap((text) => RuleFile.parse(parse(text)).groups);
  const rule = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'crossfold' },
    spec: { groups },
  };
  return `# Made by k8s/generate.mjs from dashboards/prometheus/rules: do not edit.\n${stringify(rule, { lineWidth: 120 })}`;
}
