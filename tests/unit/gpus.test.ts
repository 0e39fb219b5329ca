import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseGpus, visibleGpus } from '@crossfold/shared/gpus';
import { deviceName, deviceNotice } from '@crossfold/worker/engine/cuda';
import { tensorFlowEnvironment } from '@crossfold/worker/engine/tensorflow';
import { describe, expect, it } from 'vitest';

const printed = (file: string): string =>
  readFileSync(resolve(import.meta.dirname, '../fixtures/nvidia-smi', file), 'utf8');
const two = printed('two-h100.csv');
/** As setup/tensorflow.mjs writes them beside the libraries. */
const libraries = { cublas: '12.9.3.13', cuda_runtime: '12.9.79', cudnn: '9.28.0.42' };

describe('GPUs', () => {
  it('are read from what the driver prints', () => {
    expect(parseGpus(two)[1]).toEqual({
      index: 1,
      uuid: 'GPU-0c5d2b7a-6f8e-11ee-be56-0242ac120002',
      name: 'NVIDIA H100 80GB HBM3',
      memoryMiB: 81_559,
      driver: '550.54.15',
    });
  });

  it.each([
    ['no devices', printed('none.txt')],
    ['a driver that does not match', 'Failed to initialize NVML: Driver/library version mismatch\n'],
    ['a driver that is not there', "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"],
    ['nothing', ''],
  ])('are none where the driver says %s', (_, output) => {
    expect(parseGpus(output)).toEqual([]);
  });

  it('are told of where memory cannot be read, and among warnings', () => {
    const uuid = 'GPU-22b2c6ac-2d49-4863-197c-9c469071178a';
    expect(parseGpus(printed('warning.csv'))).toEqual([
      { index: 0, uuid, name: 'Tesla T4', memoryMiB: 0, driver: '535.129.03' },
    ]);
  });

  it('can be used as CUDA_VISIBLE_DEVICES says', () => {
    const gpus = parseGpus(two);
    const seen = (visible: string | undefined): number[] => visibleGpus(gpus, visible).map(({ index }) => index);
    expect(seen(undefined)).toEqual([0, 1]);
    expect(seen('1')).toEqual([1]);
    expect(seen('1,0')).toEqual([1, 0]);
    expect(seen('GPU-0c5d')).toEqual([1]);
    expect(seen('')).toEqual([]);
    expect(seen('-1')).toEqual([]);
    // CUDA stops at the first entry that is none.
    expect(seen('0,7,1')).toEqual([0]);
  });

  it('are named with the driver and the CUDA libraries that run them', () => {
    const [gpu] = parseGpus(two);
    expect(deviceName(gpu, libraries)).toBe('NVIDIA H100 80GB HBM3, driver 550.54.15, CUDA 12.9.79, cuDNN 9.28.0.42');
    expect(deviceName(gpu, undefined)).toBe('NVIDIA H100 80GB HBM3, driver 550.54.15');
    expect(deviceName(undefined, libraries)).toBe('gpu, CUDA 12.9.79, cuDNN 9.28.0.42');
  });

  it('are missed aloud where TensorFlow is made for them, unless that was asked for', () => {
    expect(deviceNotice('cpu', {}, libraries)).toMatch(
      /^training on the CPU: .*\(CUDA 12\.9\.79, cuDNN 9\.28\.0\.42\), and finds none/,
    );
    expect(deviceNotice('NVIDIA H100 80GB HBM3', {}, libraries)).toBeUndefined();
    for (const env of [{ CROSSFOLD_TENSORFLOW: 'cpu' }, { CUDA_VISIBLE_DEVICES: '' }, { CUDA_VISIBLE_DEVICES: '-1' }])
      expect(deviceNotice('cpu', env, libraries)).toBeUndefined();
  });

  it('take memory as they need it, and compute by deterministic kernels', () => {
    expect(tensorFlowEnvironment(1)).toMatchObject({ TF_FORCE_GPU_ALLOW_GROWTH: 'true', TF_DETERMINISTIC_OPS: '1' });
  });
});
