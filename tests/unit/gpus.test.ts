import { parseGpus, visibleGpus } from '@crossfold/shared/gpus';
import { describe, expect, it } from 'vitest';

/** In the form of `nvidia-smi --query-gpu=index,uuid,name,memory.total,driver_version --format=csv,noheader,nounits`. */
const two = `0, GPU-8a4f1c1e-0b52-7d4e-9c1b-2f1f0a9d3e11, NVIDIA H100 80GB HBM3, 81559, 550.54.15
1, GPU-0c5d2b7a-6f8e-11ee-be56-0242ac120002, NVIDIA H100 80GB HBM3, 81559, 550.54.15
`;

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
    ['no devices', 'No devices were found\n'],
    ['a driver that does not match', 'Failed to initialize NVML: Driver/library version mismatch\n'],
    ['a driver that is not there', "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"],
    ['nothing', ''],
  ])('are none where the driver says %s', (_, output) => {
    expect(parseGpus(output)).toEqual([]);
  });

  it('are told of where memory cannot be read, and among warnings', () => {
    const odd = 'WARNING: infoROM is corrupted at gpu 0000:00:1E.0\n0, GPU-11, Tesla T4, [N/A], 535.1\n';
    expect(parseGpus(odd)).toEqual([{ index: 0, uuid: 'GPU-11', name: 'Tesla T4', memoryMiB: 0, driver: '535.1' }]);
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
});
