import { rescaled } from '@crossfold/coordinator/models/evaluation';
import { evaluationText } from '@crossfold/coordinator/models/evaluation-text';
import { readModelFile } from '@crossfold/coordinator/models/find-model';
import { readPictures } from '@crossfold/coordinator/models/labelled';
import { decodingOf, openPredictor } from '@crossfold/coordinator/models/open-predictor';
import type { ModelFormat } from '@crossfold/coordinator/models/write-model';
import { lostIn, writeModel } from '@crossfold/coordinator/models/write-model';
import { formatModelTable } from '@crossfold/coordinator/results/model-table';
import type { TrainedModel } from '@crossfold/shared/model/model-file';
import type { Activation, Predictor } from '@crossfold/worker/engine/predictor';
import { Nets } from './nets.ts';

/** Which of a run's nets is meant. */
export interface ModelOf {
  /** The best one where not given. */
  readonly trial?: number;
  /** Where not given: the refit, where there is one, else the best one. */
  readonly fold?: number | 'best' | 'refit';
}

/** A trained net. It computes on this thread, a batch at a time. */
export class Model extends Nets {
  readonly #model: TrainedModel;
  readonly #predictor: Predictor;

  private constructor(model: TrainedModel, predictor: Predictor) {
    super(model, predictor);
    this.#model = model;
    this.#predictor = predictor;
  }

  static async open(model: TrainedModel): Promise<Model> {
    return new Model(model, await openPredictor(model));
  }

  /** All weights, in the order of the model. */
  get weights(): Float32Array {
    return this.#model.weights;
  }

  /** The layers as a table. */
  summary(): string {
    return formatModelTable(this.#model.plan);
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
   * @throws ConfigError where it cannot be written
   */
  write(format: ModelFormat, out: string): Promise<void> {
    return writeModel(format, out, this.#model);
  }

  /** What of its optimizer a format has no place for, in a sentence; undefined: nothing. Predictions are the same. */
  lostIn(format: ModelFormat): string | undefined {
    return lostIn(format, this.#model);
  }
}

/** A net out of a file: .safetensors of a run's folder, or Keras' .h5 or .keras. */
export const loadModel = async (file: string): Promise<Model> => Model.open(await readModelFile(file));

/** An evaluation for a terminal. */
export const evaluationTable = evaluationText;
