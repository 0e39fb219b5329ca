import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { source } from '../../dashboards/src/panels.ts';
import { rules } from '../support/queries.ts';

const root = resolve(import.meta.dirname, '../..');

interface StatefulSet {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas: number;
    readonly volumeClaimTemplates: readonly { readonly metadata: { readonly name: string } }[];
  };
}

interface ConfigMap {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly data: Readonly<Record<string, string>>;
}
interface Provisioned {
  readonly datasources: readonly { readonly uid: string; readonly type: string }[];
}

const documents = (file: string): unknown[] =>
  parseAllDocuments(readFileSync(resolve(root, file), 'utf8')).map((one): unknown => one.toJS());

describe('what is watched in Kubernetes', () => {
  it('is the broker’s volumes, by the names that their claims get', () => {
    const set = documents('k8s/base/broker.yaml').find((one) => (one as StatefulSet).kind === 'StatefulSet');
    const { metadata, spec } = set as StatefulSet;
    const claims = spec.volumeClaimTemplates.flatMap((claim) =>
      Array.from({ length: spec.replicas }, (_, i) => `${claim.metadata.name}-${metadata.name}-${i}`),
    );
    expect(claims).toHaveLength(3);
    const alert = rules().find(({ alert: name }) => name === 'CrossfoldBrokerStorageFilling');
    const patterns = [...(alert?.expr ?? '').matchAll(/persistentvolumeclaim=~"([^"]*)"/g)].map(([, text]) => text);
    expect(patterns).toHaveLength(2);
    for (const pattern of patterns) {
      // As Prometheus matches: the whole of it.
      const whole = new RegExp(`^(?:${pattern})$`);
      expect(claims.filter((claim) => !whole.test(claim))).toEqual([]);
      expect(whole.test('data-postgres-0')).toBe(false);
    }
  });

  it('is drawn from the data source that the boards name', () => {
    const component = documents('k8s/components/monitoring/kustomization.yaml')[0] as { resources: string[] };
    expect(component.resources).toContain('grafana-datasource.yaml');
    const [map] = documents('k8s/components/monitoring/grafana-datasource.yaml') as [ConfigMap];
    expect(map.metadata.labels).toEqual({ grafana_datasource: '1' });
    const [provisioned] = Object.values(map.data).map((text) => parse(text) as Provisioned);
    expect(provisioned?.datasources.map(({ uid, type }) => ({ uid, type }))).toEqual([source]);
    expect(provisioned?.datasources).toMatchObject([{ isDefault: false, jsonData: { timeInterval: '10s' } }]);
  });
});
