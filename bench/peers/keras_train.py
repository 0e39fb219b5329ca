"""How fast Keras trains: python keras_train.py '<JSON: net, batch, threads, seconds, stepsPerExecution, autotune, digits>'

The loop that one would write: `fit` on arrays in memory, or on a tf.data set of them without its autotuner; TensorFlow at its best settings for a CPU (oneDNN on, XLA off).
Prints JSON: images, wallMs, cpuMs, peakMiB.
"""
import json
import os
import resource
import sys
import time

run = json.loads(sys.argv[1])
threads = str(run["threads"])
os.environ.update(KERAS_BACKEND="tensorflow", TF_ENABLE_ONEDNN_OPTS="1", TF_CPP_MIN_LOG_LEVEL="3",
                  TF_NUM_INTRAOP_THREADS=threads, TF_NUM_INTEROP_THREADS=threads)
import keras
import numpy as np
from nets import dataset, digits, layers, noise

mnist = run["net"] == "mnist-convnet"
images, labels = digits(run["digits"], 12800) if mnist else noise(400)
model = keras.Sequential(layers(run["net"]))
model.compile("rmsprop", "sparse_categorical_crossentropy" if mnist else "binary_crossentropy", metrics=["accuracy"],
              jit_compile=False, steps_per_execution=run["stepsPerExecution"])
batch = run["batch"]


def fit(count):
    """One epoch of the first images."""
    part = images[:count], labels[:count]
    if run["autotune"]:
        model.fit(*part, batch_size=batch, verbose=0)
    else:
        model.fit(dataset(*part, batch), verbose=0)
    return count


fit(batch * (50 if mnist else 5))
started, cpu, seen = time.perf_counter(), time.process_time(), 0
while time.perf_counter() - started < run["seconds"]:
    seen += fit(12800 if mnist else 400)
print(json.dumps({"images": seen, "wallMs": 1000 * (time.perf_counter() - started), "cpuMs": 1000 * (time.process_time() - cpu),
                  "peakMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
