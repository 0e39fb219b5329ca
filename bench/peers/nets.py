"""The nets and data of the benchmarks, for Keras."""
import keras
import numpy as np
import tensorflow as tf


def layers(net):
    L = keras.layers
    if net == "mnist-convnet":
        return [L.Input((28, 28, 1)), L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(2), L.Conv2D(64, 3, activation="relu"),
                L.MaxPooling2D(2), L.Conv2D(64, 3, activation="relu"), L.Flatten(), L.Dense(64, activation="relu"),
                L.Dense(10, activation="softmax")]
    convolutions = [layer for filters in [32, 64, 128, 128] for layer in [L.Conv2D(filters, 3, activation="relu"), L.MaxPooling2D(2)]]
    return [L.Input((150, 150, 3)), *convolutions, L.Flatten(), L.Dense(512, activation="relu"), L.Dense(1, activation="sigmoid")]


def digits(folder, count):
    images = np.fromfile(f"{folder}/train-images-idx3-ubyte", np.uint8, count * 784, offset=16)
    labels = np.fromfile(f"{folder}/train-labels-idx1-ubyte", np.uint8, count, offset=8)
    return images.reshape(count, 28, 28, 1).astype(np.float32) / 255, labels.astype(np.int32)


def noise(count):
    return np.random.default_rng(1).random((count, 150, 150, 3), np.float32), np.arange(count) % 2


def dataset(images, labels, batch):
    """Shuffled batches of arrays by tf.data, whose autotuner is off: `fit` waits for it at the end, up to seconds."""
    x, y = tf.constant(images), tf.constant(labels)
    options = tf.data.Options()
    options.autotune.enabled = False
    indices = tf.data.Dataset.range(len(images)).shuffle(len(images)).batch(batch)
    return indices.map(lambda at: (tf.gather(x, at), tf.gather(y, at))).with_options(options)
