#!/usr/bin/env python3
"""The layer check finds each kind of fault in small trees made for it."""
import pathlib
import subprocess
import sys
import tempfile

CHECK = pathlib.Path(__file__).with_name("check_layers.py")
CASES = [
    ("", "cpd/comb/a.cpp", "#include <cpd/graph/graph.h>\n#include <torch/script.h>"),
    ("", "cpd/cpd.h", "#include <cpd/comb/comb.h>"),
    ("", "cpd/comb/a.cpp", "using namespace std::literals;"),
    ("which is above it", "cpd/graph/a.cpp", "#include <cpd/comb/comb.h>"),
    ("which is above it", "cpd/core/deep/a.h", '#include "cpd/graph/graph.h"'),
    ("heavy LibTorch header", "cpd/comb/a.h", "#include <torch/torch.h>"),
    ("heavy LibTorch header", "cpd/comb/a.h", "#include <ATen/ATen.h>"),
    ("heavy LibTorch header", "cpd/comb/a.inl", "#include <torch/csrc/jit/ir/ir.h>"),
    ("heavy LibTorch header", "cpd/cpd.h", "#include <torch/script.h>"),
    ("free of Torch", "cpd/graph/a.cpp", "#include <ATen/core/Tensor.h>"),
    ("free of Torch", "cpd/core/a.h", "#include <c10/util/Optional.h>"),
    ("using namespace", "cpd/comb/a.h", "  using namespace std;"),
    ("not in layers.txt", "cpd/attic/a.h", ""),
]
for expected, name, text in CASES:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "layers.txt").write_text("core: x\ngraph: x\ncomb: x\n")
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text + "\n")
        run = subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True)
        assert (run.returncode == 0) == (expected == ""), (expected, run.stdout)
        assert expected in run.stdout, (expected, run.stdout)
print("every kind of fault is found")
