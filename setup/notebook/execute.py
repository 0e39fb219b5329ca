"""Runs a notebook from top to bottom, says how far it is, and writes it with its outputs to another file.

execute.py NOTEBOOK OUT FOLDER SECONDS: FOLDER is where its cells run, SECONDS is how long a cell may take.
Exit code 1 where a cell fails, with the cell and what it said on stderr; OUT then has the outputs up to there.
"""

import os
import sys
import time

import nbclient
import nbformat
from jupyter_client.kernelspec import KernelSpecManager

source, out, folder, seconds = sys.argv[1:5]
notebook = nbformat.read(source, as_version=4)
code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
started = {}


def say(text):
    print(f"notebook: {text}", file=sys.stderr, flush=True)


def first_line(cell):
    return next((line for line in cell.source.splitlines() if line.strip()), "")[:70]


def begin(cell, cell_index):
    if cell.cell_type == "code":
        started[cell_index] = time.monotonic()
        say(f"cell {code.index(cell_index) + 1} of {len(code)}: {first_line(cell)}")


def end(cell, cell_index, **_):
    took = time.monotonic() - started.get(cell_index, time.monotonic())
    if took >= 10:
        say(f"  took {took:.0f} s")


for index in code:
    notebook.cells[index].outputs = []
    notebook.cells[index].execution_count = None

client = nbclient.NotebookClient(
    notebook,
    kernel_name="tslab",
    timeout=float(seconds),
    startup_timeout=120,
    record_timing=False,
    resources={"metadata": {"path": folder}},
    on_cell_execute=begin,
    on_cell_executed=end,
)
KernelSpecManager.ensure_native_kernel = False
status = 0
try:
    client.execute()
except nbclient.exceptions.CellExecutionError as error:
    status = 1
    failed = max(started)
    say(f"cell {code.index(failed) + 1} failed:\n{notebook.cells[failed].source}\n")
    for output in notebook.cells[failed].outputs:
        if output.output_type == "stream" and output.name == "stderr":
            print(output.text, file=sys.stderr, flush=True)
except nbclient.exceptions.CellTimeoutError:
    status = 1
    failed = max(started)
    say(f"cell {code.index(failed) + 1} was not done within {float(seconds):.0f} s:\n{notebook.cells[failed].source}")
except nbclient.exceptions.DeadKernelError:
    status = 1
    where = f"in cell {code.index(max(started)) + 1}" if started else "while it started"
    say(f"the kernel ended {where}")

aside = f"{out}.new"
nbformat.write(notebook, aside)
os.replace(aside, out)
sys.exit(status)
