"""How fast two PyTorch processes train together: python torch_ddp.py '<JSON: batch, steps, digits>'

DistributedDataParallel over gloo on this machine, one thread a process, half of each batch a process; otherwise as
torch_train.py on the MNIST net. Prints JSON: images and wallMs, for the two together.
"""
import json
import os
import socket
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def member(rank, run, port, results):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.set_num_threads(1)
    count, share = 12800, run["batch"] // 2
    images = np.fromfile(f"{run['digits']}/train-images-idx3-ubyte", np.uint8, count * 784, offset=16).reshape(count, 1, 28, 28)
    labels = torch.from_numpy(np.fromfile(f"{run['digits']}/train-labels-idx1-ubyte", np.uint8, count, offset=8).astype(np.int64))
    images = torch.from_numpy(images.astype(np.float32) / 255).to(memory_format=torch.channels_last)
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))
    model = DistributedDataParallel(model.to(memory_format=torch.channels_last))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9)
    criterion = nn.CrossEntropyLoss()

    def step(i):
        at = (i * 2 + rank) * share % (count - share + 1)
        optimizer.zero_grad(set_to_none=True)
        criterion(model(images[at:at + share]), labels[at:at + share]).backward()
        optimizer.step()

    for i in range(50):
        step(i)
    dist.barrier()
    # As many steps on both sides, whoever is slower: they wait for each other in every one.
    started, steps = time.perf_counter(), run["steps"]
    for i in range(steps):
        step(i)
    if rank == 0:
        results.put({"images": steps * run["batch"], "wallMs": 1000 * (time.perf_counter() - started)})
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = mp.get_context("spawn").SimpleQueue()
    mp.spawn(member, (json.loads(sys.argv[1]), port, results), nprocs=2)
    print(json.dumps(results.get()))
