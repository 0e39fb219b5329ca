"""The quick start's job as one would write it with Keras and scikit-learn: python keras_job.py FOLDER_OF_DIGITS STEPS_PER_EXECUTION arrays|dataset

Stratified 5-fold cross-validation on the first 12,800 digits, 3 epochs, TensorFlow at its best settings for a CPU and on
all cores. Prints JSON: the folds' accuracies.
"""
import json
import os
import sys

os.environ.update(KERAS_BACKEND="tensorflow", TF_ENABLE_ONEDNN_OPTS="1", TF_CPP_MIN_LOG_LEVEL="3")
import keras
from nets import dataset, digits, layers
from sklearn.model_selection import StratifiedKFold

images, labels = digits(sys.argv[1], 12800)
accuracies = []
for train, validation in StratifiedKFold(5, shuffle=True, random_state=42).split(images, labels):
    keras.utils.set_random_seed(42)
    model = keras.Sequential(layers("mnist-convnet"))
    model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False,
                  steps_per_execution=int(sys.argv[2]))
    if sys.argv[3] == "arrays":
        history = model.fit(images[train], labels[train], batch_size=64, epochs=3, verbose=0,
                            validation_data=(images[validation], labels[validation]))
    else:
        history = model.fit(dataset(images[train], labels[train], 64), epochs=3, verbose=0,
                            validation_data=dataset(images[validation], labels[validation], 64))
    accuracies.append(history.history["val_accuracy"][-1])
print(json.dumps(accuracies))
