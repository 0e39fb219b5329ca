"""The nets and data of the benchmarks, for Keras."""
import keras
import numpy as np


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
