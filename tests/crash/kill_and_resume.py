#!/usr/bin/env python3
"""Kills runs that train and prune at random moments, resumes them, and compares what they write
with what a run writes that was never stopped: every byte of weights and plan.

    kill_and_resume.py build/bin/cpd --times 20 --seed 1
"""

import argparse
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

TRAINING = {"epochs": 3, "optimiser": {"lr": 0.02}, "checkpoint_every": 1, "ema": 0.9}
HOOK = {"type": "PruningHook", "interval": 2, "prunings": 4, "save_sparsity_thr": [0.2, 0.4]}
ITERATIVE = {"type": "Iterative", "interval": 2, "prunings": 4, "budget": {"macs": 0.5},
             "distill": {"losses": ["kl"]}, "train": TRAINING}


def write_images(folder, count):
    """MNIST's files with so many images of 28x28 pixels in 10 classes."""
    os.makedirs(folder)
    pixels = bytes(i * 37 % 251 for i in range(count * 28 * 28))
    labels = bytes(i % 10 for i in range(count))
    with open(f"{folder}/train-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
    with open(f"{folder}/train-labels-idx1-ubyte", "wb") as file:
        file.write(struct.pack(">II", 0x801, count) + labels)


class Runs:
    """Runs of one command, each in a folder of its own."""

    def __init__(self, program, name, arguments, config):
        self.program = os.path.abspath(program)
        self.name = name
        self.arguments = arguments
        self.config = config

    def prepare(self, folder):
        os.makedirs(folder)
        write_images(f"{folder}/images", 64)
        with open(f"{folder}/config.json", "w") as file:
            json.dump(self.config, file)

    def start(self, folder):
        command = [self.program, *self.arguments, "--config", "config.json", "--data", "images",
                   "--batch", "16", "--hold-out", "16", "--work-dir", "work", "--resume", "auto",
                   "--force", "-o", "net.pt"]
        with open(f"{folder}/log", "ab") as log:
            return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log,
                                    env={**os.environ, "OMP_NUM_THREADS": "1"})

    def finish(self, folder):
        status = self.start(folder).wait()
        if status != 0:
            with open(f"{folder}/log", errors="replace") as log:
                sys.exit(f"{self.name}: the run ended with {status}:\n{log.read()[-2000:]}")

    def kill(self, folder, seconds):
        """Returns whether the run was still going on."""
        process = self.start(folder)
        try:
            process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True


def contents(path):
    """What a network's file holds, but for the report, which tells times, and the checksum of all."""
    with zipfile.ZipFile(path) as file:
        return {name.split("/", 1)[1]: file.read(name) for name in file.namelist()
                if not name.endswith(("report.json", "serialization_id"))}


def differences(folder, expected):
    found = []
    for name, want in expected.items():
        have = contents(f"{folder}/{name}")
        found += [f"{name}: {key}" for key in sorted(set(want) | set(have))
                  if want.get(key) != have.get(key)]
    return found


def written(folder):
    names = ["net.pt"]
    if os.path.isdir(f"{folder}/work"):
        names += [f"work/{name}" for name in os.listdir(f"{folder}/work") if name.endswith(".pt")]
    return sorted(names)


def leftovers(folder):
    """Unknown files. A whole file may be left just before it takes the name of an older one."""
    known = {"last.ckpt", "best.ckpt", "metrics.jsonl"}
    return [name for name in os.listdir(f"{folder}/work")
            if name.split(".part")[0] not in known and not name.startswith("sparsity_")]


def check(runs, times, rng, root):
    whole = f"{root}/{runs.name}"
    runs.prepare(whole)
    begin = time.monotonic()
    runs.finish(whole)
    seconds = time.monotonic() - begin
    expected = {name: contents(f"{whole}/{name}") for name in written(whole)}
    kills = 0
    for number in range(times):
        folder = f"{root}/{runs.name}-{number}"
        moment = rng.uniform(0.1, 1.0) * seconds
        runs.prepare(folder)
        while not runs.kill(folder, moment):  # the first run may have been slower than this one
            shutil.rmtree(folder)
            runs.prepare(folder)
            moment /= 2
        kills += 1
        if rng.random() < 0.3:
            kills += runs.kill(folder, rng.uniform(0.1, 1.0) * moment)
        runs.finish(folder)
        wrong = differences(folder, expected) + leftovers(folder)
        if written(folder) != written(whole):
            wrong.append(f"files: {written(folder)}")
        if wrong:
            sys.exit(f"{runs.name}, killed after {moment:.2f} s, ends otherwise: {wrong}")
        shutil.rmtree(folder)
    print(f"{runs.name}: {times} runs, {kills} kills, all as the one of {seconds:.1f} s that was "
          "never stopped")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    commands = [
        Runs(options.program, "train", ["train", "zoo:fashion"], {**TRAINING, "hooks": [HOOK]}),
        Runs(options.program, "prune", ["prune", "zoo:fashion"], ITERATIVE),
    ]
    with tempfile.TemporaryDirectory() as root:
        for i, runs in enumerate(commands):
            check(runs, options.times // 2 + (i < options.times % 2), rng, root)


if __name__ == "__main__":
    main()
