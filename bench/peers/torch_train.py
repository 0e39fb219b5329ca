"""How fast PyTorch trains: python torch_train.py '<JSON: net, batch, threads, seconds, digits>'

The usual loop on tensors in memory, channels last (faster on CPUs). Prints JSON: images, wallMs, cpuMs, peakMiB.
"""
import json
import resource
import sys
import time

import numpy as np
import torch
from torch import nn

run = json.loads(sys.argv[1])
torch.set_num_threads(run["threads"])
torch.set_num_interop_threads(1)
mnist = run["net"] == "mnist-convnet"
if mnist:
    count = 12800
    images = np.fromfile(f"{run['digits']}/train-images-idx3-ubyte", np.uint8, count * 784, offset=16).reshape(count, 1, 28, 28)
    labels = torch.from_numpy(np.fromfile(f"{run['digits']}/train-labels-idx1-ubyte", np.uint8, count, offset=8).astype(np.int64))
    images = torch.from_numpy(images.astype(np.float32) / 255)
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss()
else:
    images = torch.rand(400, 3, 150, 150)
    labels = (torch.arange(400) % 2).float()[:, None]
    stages, channels = [], 3
    for filters in [32, 64, 128, 128]:
        stages += [nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    model = nn.Sequential(*stages, nn.Flatten(), nn.Linear(6272, 512), nn.ReLU(), nn.Linear(512, 1))
    criterion = nn.BCEWithLogitsLoss()
model = model.to(memory_format=torch.channels_last)
images = images.to(memory_format=torch.channels_last)
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9)
batch = run["batch"]


def step(i):
    at = i * batch % (len(images) - batch + 1)
    optimizer.zero_grad(set_to_none=True)
    criterion(model(images[at:at + batch]), labels[at:at + batch]).backward()
    optimizer.step()


for i in range(50 if mnist else 5):
    step(i)
started, cpu, steps = time.perf_counter(), time.process_time(), 0
while time.perf_counter() - started < run["seconds"]:
    step(steps)
    steps += 1
print(json.dumps({"images": steps * batch, "wallMs": 1000 * (time.perf_counter() - started), "cpuMs": 1000 * (time.process_time() - cpu),
                  "peakMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
