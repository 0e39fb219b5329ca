/**
 * Writes what the manifests take from the code: `npm run build && node k8s/generate.mjs`. A test compares them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { kubernetesBrokerConfig } from '../coordinator/dist/deploy/kubernetes-config.js';
import { prometheusRule } from '../coordinator/dist/deploy/prometheus-rule.js';

const root = resolve(import.meta.dirname, '..');
const rules = ['recording', 'alerts'].map((name) =>
  readFileSync(resolve(root, `dashboards/prometheus/rules/${name}.yml`), 'utf8'),
);
writeFileSync(resolve(root, 'k8s/base/nats.conf'), kubernetesBrokerConfig());
writeFileSync(resolve(root, 'k8s/components/monitoring/rules.yaml'), prometheusRule(rules));
