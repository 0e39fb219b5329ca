import { localLibrary } from '@crossfold/coordinator/datasets/local-library';
import { evaluateOn } from '@crossfold/coordinator/models/evaluate-on';
import { rescaled } from '@crossfold/coordinator/models/evaluation';
import type { EvaluationDocument } from '@crossfold/coordinator/models/evaluation-text';
import { evaluationText } from '@crossfold/coordinator/models/evaluation-text';
import { readModelFile } from '@crossfold/coordinator/models/find-model';
import { readPictures } from '@crossfold/coordinator/models/labelled';
import type { PartName } from '@crossfold/coordinator/models/labelled-pictures';
import { decodingOf, openPredictor, shapeOf } from '@crossfold/coordinator/models/open-predictor';
import type { Prediction } from '@crossfold/coordinator/models/predictions';
import { predictFiles, predictPixels } from '@crossfold/coordinator/models/predictions';
import { asked } from '@crossfold/coordinator/models/test-time';
import type { TestTime } from '@crossfold/coordinator/models/test-times';
import type { ModelFormat } from '@crossfold/coordinator/models/write-model';
import { writeModel } from '@crossfold/coordinator/models/write-model';
import { formatModelTable } from '@crossfold/coordinator/results/model-table';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Activation, Predictor } from '@crossfold/worker/engine/predictor';

/** Which of a run's nets is meant. */
export interface ModelOf {
  /** The best one where not given. */
  readonly trial?: number;
  /** Where not given: the refit, where there is one, else the best one. */
  readonly fold?: number | 'best' | 'refit';
}

/** A trained net. It computes on this thread, a batch at a time. */
export class Model {
  readonly #model: TrainedModel;
  readonly #predictor: Predictor;

  private constructor(model: TrainedModel, predictor: Predictor) {
    this.#model = model;
    this.#predictor = predictor;
  }

  static async open(model: TrainedModel): Promise<Model> {
    return new Model(model, await openPredictor(model));
  }

  /** Names of the classes, in the order of the net's outputs. */
  get classes(): readonly string[] {
    return this.#model.classes;
  }

  /** Size of the pictures that it takes. */
  get image(): ImageShape {
    return shapeOf(this.#model);
  }

  /** All weights, in the order of the model. */
  get weights(): Float32Array {
    return this.#model.weights;
  }

  /** The layers as a table. */
  summary(): string {
    return formatModelTable(this.#model.plan);
  }

  /**
   * What picture files (JPEG, PNG, WebP) show.
   *
   * @param tta `flip` takes the mean of what it says of each and of its mirror image
   * @throws ConfigError naming every file that cannot be used
   */
  predict(files: readonly string[], tta: TestTime = 'none'): Promise<Prediction[]> {
    return predictFiles(asked(this.#predictor, this.#model, tta), this.#model, files);
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
   * this machine.
   *
   * @param part the test part where there is one, else everything, where not given
   * @param tta as for `predict`
   * @param byOrder where the classes have other names than the net's: they are the net's in the same order
   * @throws ConfigError where there is no such data set, or it has classes that the net does not know
   */
  async evaluate(
    dataset: string,
    part?: PartName,
    tta: TestTime = 'none',
    byOrder = false,
  ): Promise<EvaluationDocument> {
    const judge = asked(this.#predictor, this.#model, tta);
    const settings = { libraries: [localLibrary(process.env)], byOrder };
    const { data, ...result } = await evaluateOn(judge, this.#model, dataset, part, () => undefined, settings);
    return { ...result, model: 'model', dataset: data.name, tta, samples: data.labels.length, classes: this.classes };
  }

  /** What comes out of each layer for a picture: a file, or uint8 [height, width, channels]. */
  async activations(picture: string | Uint8Array): Promise<Activation[]> {
    const pixels =
      typeof picture === 'string' ? (await readPictures([picture], this.image, decodingOf(this.#model)))[0] : picture;
    return this.#predictor.activations(rescaled(pixels ?? new Uint8Array()));
  }

  /** What there is to know of it for a picture of its feature maps. */
  get layers(): TrainedModel['plan']['layers'] {
    return this.#model.plan.layers;
  }

  /**
   * Writes it for Keras (h5, or keras for 3 alone), TensorFlow.js (tfjs) or TensorFlow (savedmodel).
   *
   * @param out the file (h5, keras), or the folder
   */
  write(format: ModelFormat, out: string): Promise<void> {
    return writeModel(format, out, this.#model);
  }

  /** Frees what the engine holds for it. */
  close(): void {
    this.#predictor.dispose();
  }
}

/** A net out of a file: .safetensors of a run's folder, or Keras' .h5 or .keras. */
export const loadModel = async (file: string): Promise<Model> => Model.open(await readModelFile(file));

/** An evaluation for a terminal. */
export const evaluationTable = evaluationText;
