#!/usr/bin/env python3
"""Checks exported files, and what trainings log, in plain Python: no code of cpd. Needs a Python with torch,
torchvision (for its networks) and tensorboard. Usage: run.py [--build build] [unittest arguments]"""
import argparse
import copy
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import torch
from tensorboard.backend.event_processing import event_accumulator

import make_fixtures

BUILD = pathlib.Path("build")
SEEDS = (2, 5)  # an even one prunes units of level `exact` only


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


def structure_of(value):
    if isinstance(value, dict):
        return {key: structure_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        fields = getattr(value, "_fields", ())
        return (list if isinstance(value, list) else tuple)(map(structure_of, value)), fields
    return type(value)


def relative_error(a, b):
    scale = b.abs().max().item()
    difference = (a.double() - b.double()).abs().max().item()
    return difference / scale if scale > 0 else difference


def positions_of(shape, dim, kept):
    """The elements of a tensor that a plan keeps along one dimension, as a mask."""
    mask = torch.zeros(shape, dtype=torch.bool)
    if isinstance(kept, dict):
        for place, indices in zip(itertools.product(*(range(shape[a]) for a in kept["along"])), kept["kept"]):
            selector = [slice(None)] * len(shape)
            for along, at in zip(kept["along"], place):
                selector[along] = at
            line = mask[tuple(selector)]
            line.index_fill_(dim - sum(along < dim for along in kept["along"]), torch.tensor(indices), True)
        return mask
    blocks = kept if isinstance(kept[0], list) else [kept]
    for part, indices in zip(mask.chunk(len(blocks), 0) if len(blocks) > 1 else [mask], blocks):
        part.index_fill_(dim, torch.tensor(indices), True)
    return mask


def with_zeroed_readers(module, plan):
    """The dense network in which nothing reads what the plan removes."""
    tensors = dict(module.named_parameters())
    tensors.update(module.named_buffers())
    with torch.no_grad():
        for name, dimensions in plan["parameters"].items():
            for dim, kept in dimensions.items():
                if "reader" not in plan["roles"][name][dim]:
                    continue
                mask = positions_of(tensors[name].shape, int(dim), kept)
                tensors[name].copy_(torch.where(mask, tensors[name], torch.zeros_like(tensors[name])))
    return module


class Exported(unittest.TestCase):
    """One network, whole and pruned."""

    file = None
    input_text = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.exports = {}
        for seed in (None, *SEEDS):
            out = pathlib.Path(cls.folder.name) / f"{seed}.pt"
            command = [str(BUILD / "bin" / "export_network"), str(cls.file), str(out), cls.input_text]
            done = subprocess.run(command + ([] if seed is None else [str(seed)]), text=True,
                                  capture_output=True)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)} failed: {done.stderr}")
            cls.exports[seed] = (out, dict(cls.shape_line(line) for line in done.stdout.splitlines()))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @staticmethod
    def shape_line(line):
        name, *extents = line.split(" ")
        return name, tuple(int(extent) for extent in extents)

    def original(self, way=None):
        """The network's file; `way`: another file of the same network."""
        name, own = self.file.stem.rsplit("_", 1)
        # A trace of training mode cannot be evaluated.
        way = way or ("traced" if own == "training" else own)
        return torch.jit.load(str(self.file.with_name(f"{name}_{way}.pt")))

    def inputs(self):
        x = make_fixtures.example_input(self.input_text, seed=5)
        return [x, torch.cat([x, x.flip(0)[:1]])]

    def each_export(self):
        return [(seed, torch.jit.load(str(path)), shapes)
                for seed, (path, shapes) in self.exports.items()]

    def test_names_order_and_shapes(self):
        original = self.original()
        for seed, module, shapes in self.each_export():
            state = module.state_dict()
            self.assertEqual(list(state), list(original.state_dict()))
            self.assertEqual([name for name, _ in module.named_modules()],
                             [name for name, _ in original.named_modules()])
            self.assertEqual({name: tuple(tensor.shape) for name, tensor in state.items()},
                             {name: shapes[name] for name in state})
            self.assertEqual([p.requires_grad for p in module.parameters()],
                             [p.requires_grad for p in original.parameters()])
            if seed is None:
                for name, tensor in original.state_dict().items():
                    self.assertTrue(torch.equal(state[name], tensor), name)
        whole, *pruned = (shapes for _, shapes in self.exports.values())
        self.assertTrue(any(shapes != whole for shapes in pruned), "nothing was pruned")

    def test_outputs(self):
        original = self.original().eval()
        for seed, module, _ in self.each_export():
            for x in self.inputs():
                with torch.no_grad():
                    expected, actual = original(x), module(x)
                self.assertEqual(structure_of(actual), structure_of(expected))
                for a, b in zip(tensors_in(actual), tensors_in(expected)):
                    self.assertEqual(a.shape, b.shape)
                    if seed is None:
                        self.assertLessEqual(relative_error(a, b), 1e-5)

    def runs_in_double(self):
        try:
            self.original().eval().double()(self.inputs()[0].double())
        except RuntimeError:
            return False
        return self.inputs()[0].is_floating_point()

    def test_pruned_is_masked(self):
        path, _ = self.exports[SEEDS[0]]
        extra = {"plan.json": ""}
        module = torch.jit.load(str(path), _extra_files=extra)
        masked = with_zeroed_readers(self.original().eval(), json.loads(extra["plan.json"]))
        double = self.runs_in_double()
        if double:
            module, masked = module.double(), masked.double()
        for x in self.inputs():
            x = x.double() if double else x
            with torch.no_grad():
                for a, b in zip(tensors_in(module(x)), tensors_in(masked(x))):
                    self.assertLessEqual(relative_error(a, b), 1e-9 if double else 1e-5)

    def test_backward(self):
        reference = self.original().eval()
        sum(t.double().square().sum() for t in tensors_in(reference(self.inputs()[0]))).backward()
        reached = {name for name, p in reference.named_parameters() if p.grad is not None}
        for _, module, _ in self.each_export():
            loss = sum(t.double().square().sum() for t in tensors_in(module(self.inputs()[0])))
            loss.backward()
            gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
            self.assertEqual(set(gradients), reached)
            self.assertTrue(all(torch.isfinite(g).all() for g in gradients.values()))

    def test_training_mode_switches(self):
        for _, module, _ in self.each_export():
            before = copy.deepcopy(module.state_dict())
            module(self.inputs()[0])
            self.assertTrue(all(torch.equal(before[k], v) for k, v in module.state_dict().items()))
            module.train()
            self.assertTrue(module.training and all(m.training for m in module.modules()))
            module(self.inputs()[0])
            after = module.state_dict()
            for name, tensor in after.items():
                if name.endswith("num_batches_tracked") and not name.startswith("aux"):
                    self.assertEqual(tensor.item(), before[name].item() + 1, name)
                    mean = name.replace("num_batches_tracked", "running_mean")
                    self.assertFalse(torch.equal(after[mean], before[mean]), mean)
            module.eval()
            first, second = module(self.inputs()[0]), module(self.inputs()[0])
            self.assertTrue(all(map(torch.equal, tensors_in(first), tensors_in(second))))

    def test_training_equals_the_scripted_original(self):
        if self.file.stem.endswith("_traced"):
            self.skipTest("a trace has no training mode of its own")
        if not self.file.with_name(self.file.stem.rsplit("_", 1)[0] + "_scripted.pt").exists():
            self.skipTest("a trace of training, and no scripted file beside it")
        if self.file.stem == "swin_scripted":
            self.skipTest("stochastic depth is a branch on the training flag: exports of it have none")
        original, module = self.original("scripted").train(), torch.jit.load(str(self.exports[None][0])).train()
        outputs = []
        for network in (original, module):
            torch.manual_seed(1)
            try:
                outputs.append(tensors_in(network(self.inputs()[0])))
            except RuntimeError as error:
                self.skipTest(f"does not train on this input: {str(error).splitlines()[-1]}")
        if len(outputs[0]) == len(outputs[1]):  # auxiliary heads come with training only
            for a, b in zip(*outputs):
                self.assertLessEqual(relative_error(a, b), 1e-4)
        state = module.state_dict()
        for name, tensor in original.state_dict().items():
            if name.startswith("aux"):
                continue
            self.assertTrue(torch.allclose(state[name].double(), tensor.double(), rtol=1e-4, atol=1e-6), name)

    def test_texts_come_back(self):
        extra = {"plan.json": "", "report.json": ""}
        torch.jit.load(str(self.exports[SEEDS[1]][0]), _extra_files=extra)
        plan = json.loads(extra["plan.json"])
        self.assertEqual((plan["format"], plan["version"]), ("cpd-plan", 1))
        self.assertEqual(json.loads(extra["report.json"]), {"made": "by a test"})

    def test_moves_to_another_device(self):
        x = self.inputs()[0]
        for seed, module, _ in self.each_export():
            shapes = [tensor.shape for tensor in tensors_in(module(x))]
            path, _ = self.exports[seed]
            try:
                loaded = torch.jit.load(str(path), map_location="meta")
            except NotImplementedError as error:
                self.skipTest(f"torch does not load such constants without data: {error}"[:120])
            moved = tensors_in(loaded(x.to("meta")))
            self.assertEqual([tensor.shape for tensor in moved], shapes)
            self.assertTrue(all(tensor.is_meta for tensor in moved))

    def test_freezes(self):
        x = self.inputs()[0]
        for _, module, _ in self.each_export():
            with torch.no_grad():
                frozen = torch.jit.freeze(module.eval())
                for a, b in zip(tensors_in(frozen(x)), tensors_in(module(x))):
                    self.assertLessEqual(relative_error(a, b), 1e-5)


class Events(unittest.TestCase):
    """What TensorBoard reads of a training that was lost and resumed."""

    def start(self, folder):
        config = folder / "config.json"
        config.write_text(json.dumps({"epochs": 3, "log_every": 1, "tensorboard": True}))
        return subprocess.Popen(
            [BUILD / "bin" / "cpd", "train", "zoo:fashion", "--data", "fashion-mnist", "--images", "512", "--batch",
             "32", "--hold-out", "64", "--config", config, "--work-dir", folder / "work", "--resume", "auto", "--force",
             "-o", folder / "out.pt"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def lines(self, folder):
        path = folder / "work" / "metrics.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def test_are_the_metrics(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            run = self.start(folder)
            while run.poll() is None and len(self.lines(folder)) < 20:  # in the second epoch
                time.sleep(0.005)
            run.kill()
            run.wait()
            self.assertEqual(self.start(folder).wait(), 0)
            self.check(folder)

    def check(self, folder):
        read = event_accumulator.EventAccumulator(str(folder / "work"))
        read.Reload()
        lines = list(map(json.loads, self.lines(folder)))
        self.assertGreater(len(lines), 40)
        self.assertEqual(set(read.Tags()["scalars"]), {key for line in lines for key in line} - {"step"})
        for tag in read.Tags()["scalars"]:
            points = sorted((point.step, point.value) for point in read.Scalars(tag))
            expected = sorted((line["step"], line[tag]) for line in lines if tag in line)
            self.assertEqual([step for step, _ in points], [step for step, _ in expected], tag)
            for (_, value), (_, exact) in zip(points, expected):
                self.assertAlmostEqual(value, exact, delta=1e-6 * abs(exact))


def main():
    global BUILD
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    arguments, rest = parser.parse_known_args()
    BUILD = arguments.build.resolve()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        suite = unittest.TestSuite()
        for name, entry in make_fixtures.make(pathlib.Path(folder), committed=False).items():
            attributes = {"file": pathlib.Path(folder) / entry["file"], "input_text": entry["input"]}
            case = type(name, (Exported,), attributes)
            suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(Events))
        result = unittest.TextTestRunner(verbosity=2 if "-v" in rest else 1).run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
