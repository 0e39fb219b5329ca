import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { alertAnnotation, anyOf, Board, board } from './frame.ts';
import { limits } from './limits.ts';
import { lines, now, query, type Steps, stat, Unit } from './panels.ts';

const these = 'Hostname=~"$host", gpu=~"$gpu"';
const perGpu = (metric: string): string => `max by (Hostname, gpu) (${metric}{${these}})`;
const legend = '{{Hostname}} GPU {{gpu}}';
const heat: Steps = ['green', [limits.gpu.warm, 'yellow'], [limits.gpu.hot, 'red']];
const half = { width: 12, height: 8 };

/** What GPUs do, as NVIDIA's DCGM exporter sees them. */
export const gpu = (): Dashboard =>
  board({
    uid: Board.gpu,
    title: 'GPU',
    description: "Load, memory, heat and power of GPUs, from NVIDIA's DCGM exporter.",
    from: 'now-30m',
    variables: [
      anyOf('host', 'Host', 'DCGM_FI_DEV_GPU_UTIL', 'Hostname'),
      anyOf('gpu', 'GPU', 'DCGM_FI_DEV_GPU_UTIL{Hostname=~"$host"}', 'gpu'),
    ],
    annotations: [alertAnnotation()],
  })
    .withPanel(
      stat(
        {
          title: 'GPUs',
          description: 'That the exporter sees.',
          width: 6,
          height: 4,
          unit: Unit.count,
          noValue: 'no DCGM exporter',
        },
        now(`count(${perGpu('DCGM_FI_DEV_GPU_UTIL')})`, 'GPUs'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Mean load',
          description: 'A load well below 80 % says that the GPUs wait: for data, for the exchange, or for work.',
          width: 6,
          height: 4,
          unit: Unit.percent,
          decimals: 0,
          steps: ['orange', [50, 'yellow'], [80, 'green']],
        },
        now(`avg(${perGpu('DCGM_FI_DEV_GPU_UTIL')})`, 'load'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Hottest',
          description: 'GPUs slow themselves down where they get too hot.',
          width: 6,
          height: 4,
          unit: Unit.celsius,
          decimals: 0,
          steps: heat,
        },
        now(`max(${perGpu('DCGM_FI_DEV_GPU_TEMP')})`, 'temperature'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'XID errors',
          description: "The last error number of any GPU, 0 for none; see NVIDIA's list of XID errors.",
          width: 6,
          height: 4,
          unit: Unit.count,
          decimals: 0,
          steps: ['green', [1, 'red']],
        },
        now(`max(${perGpu('DCGM_FI_DEV_XID_ERRORS')})`, 'XID'),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Load',
          description: 'Share of the time that at least one kernel ran.',
          ...half,
          unit: Unit.percent,
          decimals: 0,
        },
        query(perGpu('DCGM_FI_DEV_GPU_UTIL'), legend),
      )
        .min(0)
        .max(100),
    )
    .withPanel(
      lines(
        {
          title: 'Memory',
          description: 'Share of the frame buffer in use. TensorFlow keeps what it has once taken.',
          ...half,
          unit: Unit.ratio,
          decimals: 0,
          steps: ['green', [limits.gpuMemory.much, 'yellow'], [limits.gpuMemory.full, 'red']],
        },
        query(
          `${perGpu('DCGM_FI_DEV_FB_USED')} / (${perGpu('DCGM_FI_DEV_FB_USED')} + ${perGpu('DCGM_FI_DEV_FB_FREE')})`,
          legend,
        ),
      )
        .min(0)
        .max(1),
    )
    .withPanel(
      lines(
        { title: 'Power', description: 'Drawn by each GPU.', ...half, unit: Unit.watt, decimals: 0 },
        query(perGpu('DCGM_FI_DEV_POWER_USAGE'), legend),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Temperature',
          description: 'Of the chip.',
          ...half,
          unit: Unit.celsius,
          decimals: 0,
          steps: heat,
        },
        query(perGpu('DCGM_FI_DEV_GPU_TEMP'), legend),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Clock of the processors',
          description: 'Falls where the GPU slows itself down for heat or power.',
          ...half,
          unit: Unit.hertz,
          decimals: 0,
        },
        query(`${perGpu('DCGM_FI_DEV_SM_CLOCK')} * 1e6`, legend),
      ),
    )
    .withPanel(
      lines(
        {
          title: 'Copies to and from memory',
          description: 'Share of the time that memory was read or written.',
          ...half,
          unit: Unit.percent,
          decimals: 0,
        },
        query(perGpu('DCGM_FI_DEV_MEM_COPY_UTIL'), legend),
      )
        .min(0)
        .max(100),
    )
    .build();
