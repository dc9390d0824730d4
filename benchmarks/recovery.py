#!/usr/bin/env python3
"""What training recovers after pruning: a table of test accuracy, mean and deviation over seeds.

    benchmarks/recovery.py build/bin/cpd --out recovery
    benchmarks/recovery.py build/bin/cpd --out recovery --model net.pt --data images \\
        --data-options="--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --augment crop4,flip"

Rows: the dense network, the dense network trained as long as the pruned ones (the control), one shot
and training, pruning while training, and the same with distillation from the dense network. Every
result stays in the folder of --out, and what is there is not computed again: stop the script when
you like and start it once more. Trainings go on from their last checkpoint.
"""

import argparse
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import time

METHODS = ["one_shot", "iterative", "iterative_distilled"]


def training(options, epochs, lr, seed):
    return {"epochs": epochs, "seed": seed, "schedule": {"type": "cosine", "warmup": 0.25},
            "optimiser": {"lr": lr, "nesterov": True, "weight_decay": 5e-4},
            "checkpoint_every": 50}


def method(options, name, keep, seed):
    """The configuration of a method; pruning takes the first sixth of the training."""
    train = training(options, options.epochs, options.lr, seed)
    if name == "one_shot":
        return {"type": "OneShot", "mutator": {"importance": "hessian", "seed": seed},
                "allocation": "greedy", "compensation": "refit", "budget": {"macs": keep},
                "train": train}
    prunings = 4
    steps = options.epochs * math.ceil(options.train_images / options.batch)
    config = {"type": "Iterative", "mutator": {"importance": "obs", "seed": seed},
              "allocation": "greedy", "schedule": "agp", "compensation": "refit",
              "budget": {"macs": keep}, "prunings": prunings,
              "interval": max(1, steps // 6 // prunings), "train": train}
    if name == "iterative_distilled":
        config["distill"] = {"losses": [{"type": "kl", "temperature": 4.0}], "label_weight": 0.5}
        # The network that is pruned is left behind by the training.
        config["teacher"] = f"{options.out}/control-{seed}.pt"
    return config


class Bench:
    def __init__(self, options):
        self.options = options
        self.data = ["--data", options.data, "--batch", str(options.batch),
                     *shlex.split(options.data_options)]
        os.makedirs(options.out, exist_ok=True)

    def cpd(self, *arguments):
        run = subprocess.run([self.options.program, *map(str, arguments)], check=False,
                             stdout=subprocess.PIPE, text=True)
        if run.returncode != 0:
            sys.exit(f"{' '.join(map(str, arguments))} ended with {run.returncode}")
        return run.stdout

    def piece(self, name, make):
        """The result of a piece: from its file, or made and measured now."""
        path = f"{self.options.out}/{name}"
        if os.path.exists(path + ".json"):
            with open(path + ".json") as file:
                return json.load(file)
        begin = time.monotonic()
        make(path)
        seconds = time.monotonic() - begin
        test = self.cpd("eval", path + ".pt", *self.data, "--split", "test", "--json")
        costs = json.loads(self.cpd("compare", path + ".pt", path + ".pt", "--json"))["pruned"]
        result = {"accuracy": json.loads(test)["accuracy"], "macs": costs["macs"],
                  "parameters": costs["parameters"], "seconds": seconds}
        with open(path + ".json.part", "w") as file:
            json.dump(result, file)
        os.replace(path + ".json.part", path + ".json")
        print(f"{name}: {100 * result['accuracy']:.2f} %", file=sys.stderr, flush=True)
        return result

    def run(self, path, command, network, config, *more):
        with open(path + ".config.json", "w") as file:
            json.dump(config, file, indent=1)
        self.cpd(command, network, "--config", path + ".config.json", *self.data, "--split",
                 "train", *self.input(), "--work-dir", path + ".work", "--resume", "auto",
                 "--force", "-o", path + ".pt", *more)

    def input(self):
        return ["--input", self.options.input] if self.options.input else []

    def dense(self, seed, path):
        if not self.options.model.startswith("zoo:"):
            self.cpd("prune", self.options.model, *self.input(), "--ratio", "1", "--force", "-o",
                     path + ".pt")
            return
        config = training(self.options, self.options.dense_epochs, self.options.dense_lr, seed)
        self.run(path, "train", self.options.model, config, "--seed", seed)

    def seed_rows(self, seed):
        rows = {"dense": self.piece(f"dense-{seed}", lambda path: self.dense(seed, path))}
        network = f"{self.options.out}/dense-{seed}.pt"
        rows["dense, trained as long"] = self.piece(
            f"control-{seed}", lambda path: self.run(
                path, "train", network,
                training(self.options, self.options.epochs, self.options.lr, seed)))
        for keep in self.options.keep:
            for name in METHODS:
                rows[f"{name}, {1 / keep:.3g}x"] = self.piece(
                    f"{name}-{keep}-{seed}", lambda path, name=name, keep=keep: self.run(
                        path, "prune", network, method(self.options, name, keep, seed)))
        return rows


def print_table(tables):
    dense = tables[0]["dense"]["macs"]
    print(f"{'':28}{'accuracy':>18}{'to control':>12}{'MACs':>8}{'seconds':>9}")
    for row in tables[0]:
        accuracies = [100 * table[row]["accuracy"] for table in tables]
        controls = [100 * table["dense, trained as long"]["accuracy"] for table in tables]
        mean = statistics.mean(accuracies)
        deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0
        macs = statistics.mean(table[row]["macs"] for table in tables) / dense
        seconds = statistics.mean(table[row]["seconds"] for table in tables)
        print(f"{row:28}{mean:10.2f} ± {deviation:4.2f}{mean - statistics.mean(controls):+12.2f}"
              f"{macs:8.3f}{seconds:9.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("--out", required=True)
    parser.add_argument("--model", default="zoo:fashion")
    parser.add_argument("--input", default="")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--data-options", default="")
    parser.add_argument("--train-images", type=int, default=60000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dense-epochs", type=int, default=5)
    parser.add_argument("--dense-lr", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.5, 0.25])
    parser.add_argument("--seeds", type=int, default=3)
    bench = Bench(parser.parse_args())
    print_table([bench.seed_rows(seed) for seed in range(bench.options.seeds)])


if __name__ == "__main__":
    main()
