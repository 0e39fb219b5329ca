import { evaluateOn } from '@crossfold/coordinator/models/evaluate-on';
import type { EvaluationDocument } from '@crossfold/coordinator/models/evaluation-text';
import type { PartName } from '@crossfold/coordinator/models/labelled-pictures';
import { openTogether, shapeOf } from '@crossfold/coordinator/models/open-predictor';
import type { Prediction } from '@crossfold/coordinator/models/predictions';
import { predictFiles, predictPixels } from '@crossfold/coordinator/models/predictions';
import { asked } from '@crossfold/coordinator/models/test-time';
import type { TestTime } from '@crossfold/coordinator/models/test-times';
import { drawMistakes } from '@crossfold/coordinator/pictures/mistakes';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Predicts } from '@crossfold/worker/engine/ensemble';
import { Datasets } from './datasets.ts';

/** Which of a run's nets are meant to answer. */
export interface NetsOf {
  /** The best one where not given. */
  readonly trial?: number;
  /**
   * A fold's number, or `ensemble`, the nets of all folds together. Where not given: what the experiment left in the end,
   * its refit or its ensemble, else the best fold's.
   */
  readonly fold?: number | 'best' | 'refit' | 'ensemble';
}

export interface EvaluateOptions {
  /** What to score on: the test part where there is one, else everything, where not given. */
  readonly part?: PartName;
  /** `flip` takes the mean of what is said of each picture and of its mirror image. */
  readonly tta?: TestTime;
  /** Where the classes have other names than the net's: they are the net's in the same order. */
  readonly byOrder?: boolean;
  /** Leave out pictures that cannot be used; `skipped` of the result names them. */
  readonly skipUnusable?: boolean;
  /** File (.png) for a picture of the most confident mistakes. */
  readonly mistakes?: string;
  /** Data sets to look for a name in besides those of this machine: `cluster.datasets`. */
  readonly datasets?: Datasets;
  /** Told how many of the pictures are done. */
  readonly onProgress?: (done: number, pictures: number) => void;
}

/** What `evaluate` finds; `skipped` where pictures were left out. */
export type Evaluation = EvaluationDocument & { readonly skipped?: readonly string[] };

/** One trained net, or several that answer together by the mean of what they give. They compute on this thread, a batch at a time. */
export class Nets {
  readonly #model: TrainedModel;
  readonly #predictor: Predicts;

  /** Made by `FinishedRun.nets`. */
  constructor(model: TrainedModel, predictor: Predicts) {
    this.#model = model;
    this.#predictor = predictor;
  }

  /** Names of the classes, in the order of the net's outputs. */
  get classes(): readonly string[] {
    return this.#model.classes;
  }

  /** Size of the pictures that it takes. */
  get image(): ImageShape {
    return shapeOf(this.#model);
  }

  /**
   * What picture files (JPEG, PNG, WebP) show; `pictureFiles` finds those in folders.
   *
   * @param tta `flip` takes the mean of what it says of each and of its mirror image
   * @param onUnusable told of the files that cannot be used, and why: they are left out then
   * @throws ConfigError naming every file that cannot be used, where nobody is told of them, or all are
   */
  predict(
    files: readonly string[],
    tta: TestTime = 'none',
    onUnusable?: (problems: readonly string[]) => void,
  ): Promise<Prediction[]> {
    return predictFiles(asked(this.#predictor, this.#model, tta), this.#model, files, onUnusable);
  }

  /**
   * What pictures show.
   *
   * @param pixels uint8, [pictures, height, width, channels] of the size that the net takes
   */
  predictPixels(pixels: Uint8Array): Prediction[] {
    const { height, width, channels } = this.image;
    const count = pixels.length / (height * width * channels);
    if (!Number.isInteger(count))
      throw new RangeError(`${pixels.length} bytes are no pictures of ${height} x ${width} x ${channels}`);
    const names = Array.from({ length: count }, (_, i) => `picture ${i}`);
    return predictPixels(this.#predictor, this.#model, pixels, names);
  }

  /**
   * Scores it on a data set: mnist, a folder of pictures, a folder of IDX files, or the name of one that was imported on
   * this machine, or is among `datasets`.
   *
   * @param how a part alone, or everything there is to say
   * @throws ConfigError where there is no such data set, it has classes that the net does not know, pictures of it cannot
   * be used, or the picture of mistakes cannot be written
   */
  async evaluate(dataset: string, how: PartName | EvaluateOptions = {}): Promise<Evaluation> {
    const options = typeof how === 'string' ? { part: how } : how;
    const { part, tta = 'none', mistakes, onProgress = () => undefined } = options;
    const { data, ...result } = await evaluateOn(
      asked(this.#predictor, this.#model, tta),
      this.#model,
      dataset,
      part,
      onProgress,
      {
        libraries: Datasets.librariesOf(options.datasets),
        skip: options.skipUnusable === true,
        byOrder: options.byOrder === true,
      },
    );
    if (mistakes !== undefined) await drawMistakes(mistakes, result.mistakes, this.classes, this.image, data);
    return {
      ...result,
      ...{ model: 'model', dataset: data.name, tta, samples: data.labels.length, classes: this.classes },
      ...(data.skipped.length === 0 ? {} : { skipped: data.skipped }),
    };
  }

  /** Frees what the engine holds for it. */
  close(): void {
    this.#predictor.dispose();
  }
}

/** Nets of one shape that answer together. */
export async function openNets(models: readonly TrainedModel[]): Promise<Nets> {
  const { predictor, model } = await openTogether(models);
  return new Nets(model, predictor);
}
