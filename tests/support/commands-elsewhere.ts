/** Commands of the documents that are not run by tests/cluster/documents.test.ts, and which test runs them instead. */
export interface Elsewhere {
  readonly commands: RegExp;
  /** Why not there. */
  readonly because: string;
  /** The file that runs it or what it consists of, and what shows that it does. */
  readonly in: readonly [file: string, shownBy: RegExp];
}

export const commandsElsewhere: readonly Elsewhere[] = [
  {
    commands: /^npm test$|^npm test -- transitions$/,
    because: 'it runs this very test',
    in: ['.ci/run', /^npm test/m],
  },
  {
    commands: /^npm run test:e2e$/,
    because: 'it needs Docker',
    in: ['.ci/run', /^npm run test:e2e/m],
  },
  {
    commands: /^npm run (lint|build)$/,
    because: 'npm test begins with it',
    in: ['setup/test.mjs', /'build', tool\('tsc'\), \['-b'\][\s\S]*'lint', tool\('biome'\)/],
  },
  {
    commands: /^npm run docs$/,
    because: 'it writes into docs/, whose files are held against what it makes',
    in: ['tests/unit/docs.test.ts', /toBe\(reference\(schema\)\)/],
  },
  {
    commands: /^node examples\/library\//,
    because: 'they build on one another, and what they leave is looked at',
    in: ['tests/cluster/library.test.ts', /example\('cross-validate\.mjs'[\s\S]*'use-model\.mjs'[\s\S]*'sweep\.mjs'/],
  },
  {
    commands: /^npm run notebook/,
    because: 'it takes minutes and installs a kernel',
    in: ['tests/long/notebook.test.ts', /npm', \['run', 'notebook/],
  },
  {
    commands: /^npm run test:long/,
    because: 'it is itself tests, the slow ones; tests/unit/docs.test.ts looks whether those that are named are there',
    in: ['tests/long/run.mjs', /vitest\.long\.config\.ts/],
  },
  {
    commands: /^npm run bench/,
    because: 'benchmarks take minutes and install peers',
    in: ['tests/long/bench.test.ts', /npm run bench/],
  },
  {
    commands: /^npm run test:gpu$/,
    because: 'it is itself tests, for machines with a GPU',
    in: ['package.json', /"test:gpu": .*vitest\.gpu\.config\.ts/],
  },
  {
    commands: /^CROSSFOLD_TENSORFLOW=gpu npm run setup$/,
    because: 'it fetches 3 GB',
    in: ['tests/unit/setup.test.ts', /gpu/],
  },
  {
    commands: /docker (compose|run|volume|build)|-> *client\.nk/,
    because: 'containers have tests of their own (npm run test:e2e)',
    in: [
      'tests/e2e/compose.test.ts',
      /'up', '-d', '--wait', '--no-deps', 'worker'[\s\S]*'stop', 'worker', 'coordinator', 'nats'/,
    ],
  },
  {
    commands: /^CROSSFOLD_NATS_CREDENTIALS=client\.nk npx crossfold list --nats nats:\/\/127\.0\.0\.1:4222$/,
    because: 'it is for a broker with keys (npm run test:e2e)',
    in: ['tests/e2e/compose.test.ts', /client\.nk/],
  },
  {
    commands: /^kubectl /,
    because: 'there is no Kubernetes here; manifests are rendered and checked (npm run test:e2e)',
    in: ['tests/e2e/kubernetes.test.ts', /'kubectl', \['kustomize'/],
  },
  {
    commands: /^chromium /,
    because: 'it draws a picture that is committed, in a browser that is not everywhere',
    in: ['tests/cluster/report-page.test.ts', /launchChromium/],
  },
  {
    commands: /jupyter lab/,
    because: "a Jupyter of the user's own is none of ours",
    in: ['setup/notebook.mjs', /JUPYTER_PATH/],
  },
  {
    commands: /^prometheus --config\.file/,
    because: 'Prometheus is run beside a cluster that trains',
    in: ['tests/cluster/prometheus.test.ts', /startPrometheus/],
  },
  {
    commands: /^npm run dashboards$/,
    because: 'it writes dashboards/json, which is held against what it makes',
    in: ['tests/unit/dashboards.test.ts', /committedBoards\(\)/],
  },
  {
    commands: /^npm run dashboards:preview\b/,
    because: 'it needs a Prometheus with samples',
    in: ['tests/cluster/prometheus.test.ts', /'run', 'dashboards:preview'/],
  },
];

export const elsewhere = (line: string): Elsewhere | undefined =>
  commandsElsewhere.find(({ commands }) => commands.test(line));
