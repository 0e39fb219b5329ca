import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { kubernetesBrokerConfig } from '@crossfold/coordinator/deploy/kubernetes-config';
import { prometheusRule } from '@crossfold/coordinator/deploy/prometheus-rule';
import { allStreams, permissionsOf, roles } from '@crossfold/shared/broker/permissions';
import { Buckets, Stores } from '@crossfold/shared/broker/subjects';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(resolve(root, file), 'utf8');

describe('what k8s/ takes from the code (npm run build && node k8s/generate.mjs)', () => {
  it("is the broker's configuration, with the permissions of today", () => {
    expect(read('k8s/base/nats.conf')).toBe(kubernetesBrokerConfig());
  });

  it('leaves room on each server for all that coordinators have it set aside, and on its volume for that', () => {
    const gibibytes = (file: string, pattern: RegExp): number => Number(pattern.exec(read(file))?.[1]);
    const quota = gibibytes('k8s/base/coordinator.yaml', /CROSSFOLD_QUOTA_STORAGE, value: (\d+)GiB/);
    const most = gibibytes('k8s/base/nats.conf', /max_file_store: (\d+)GiB/);
    const volume = gibibytes('k8s/base/broker.yaml', /storage: (\d+)Gi\b/);
    expect(quota).toBeGreaterThan(0);
    expect(most).toBeGreaterThan(quota);
    expect(volume).toBeGreaterThan(most);
  });

  it('is the rules that Prometheus is given elsewhere', () => {
    const files = ['recording', 'alerts'].map((name) => read(`dashboards/prometheus/rules/${name}.yml`));
    const made = read('k8s/components/monitoring/rules.yaml');
    expect(made).toBe(prometheusRule(files));
    const groups = (text: string): unknown[] => (parse(text) as { groups: unknown[] }).groups;
    expect((parse(made) as { spec: { groups: unknown[] } }).spec.groups).toEqual(files.flatMap(groups));
  });
});

describe('permissions', () => {
  it('are for what Crossfold has on the broker, and for nothing else', () => {
    const streams = allStreams.map((stream) => stream.replaceAll(/[^A-Za-z_]/g, ''));
    // Those of buckets and stores, seats, logs and the groups' key.
    expect(allStreams).toHaveLength(Object.keys(Buckets).length + Object.keys(Stores).length + 3);
    for (const role of roles) {
      for (const subject of permissionsOf(role).publish) {
        const named = streams.some((stream) => subject.includes(stream.replace(/^(KV|OBJ)_/, '')));
        const general = ['$JS.API.INFO', '$JS.API.STREAM.NAMES'].includes(subject) || subject.startsWith('crossfold.');
        expect(named || general, `${role}: ${subject}`).toBe(true);
        expect(subject).not.toMatch(/STREAM\.DELETE|^>$|^\$JS\.API\.>$/);
      }
    }
  });
});
