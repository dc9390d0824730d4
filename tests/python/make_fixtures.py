#!/usr/bin/env python3
"""Makes TorchScript files for tests, traced and scripted: smallest networks of one difficult pattern
each, and torchvision's where it is installed. Usage: make_fixtures.py OUT [--committed]

Weights are random, batch-norm statistics too. With --committed: the few small files that live in
tests/data/networks, with zero weights and compressed; tests fill them from a seed.
"""
import argparse
import collections
import copy
import io
import json
import pathlib
import zipfile
from typing import Dict, Tuple

import torch
from torch import nn
from torch.nn import functional

from familiar_networks import ViTWithUPerNet, familiar_networks

Scores = collections.namedtuple("Scores", ["values", "features"])


class Residual(nn.Module):
    """Convolutions with batch norm, a residual sum, a flattened head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.block = nn.Sequential(
            nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(inplace=True),
            nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12), nn.Hardswish(inplace=True),
            nn.Conv2d(12, 8, 1))
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        x = self.pool(x + self.block(x))
        return self.head(self.drop(torch.flatten(x, 1)))


class Shuffled(nn.Module):
    """Grouped convolutions, a channel shuffle by view and transpose, two branches."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 12, 1)
        self.b = nn.Conv2d(12, 16, 3, padding=1, groups=2)
        self.c = nn.Conv2d(8, 8, 1)
        self.d = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        y = torch.relu(self.b(torch.relu(self.a(x))))
        n, c, h, w = y.size()
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        left, right = y.chunk(2, dim=1)
        return self.d(torch.cat((left, self.c(right)), dim=1)).mean([2, 3])


class Attention(nn.Module):
    """A transformer block with heads, positions and tied weights."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.positions = nn.Parameter(torch.zeros(1, 6, 16))
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens) + self.positions
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).reshape(b, n, 16))
        return self.head(x + self.mlp(x))


class Outputs(nn.Module):
    """Several outputs by name."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.b = nn.Linear(8, 3)
        self.c = nn.Linear(8, 4)

    def forward(self, x) -> Dict[str, torch.Tensor]:
        y = torch.tanh(self.a(x))
        return {"features": self.c(y), "scores": self.b(y)}


class NamedOutputs(Outputs):
    """Outputs as a named tuple."""

    def forward(self, x):
        y = torch.tanh(self.a(x))
        return Scores(self.b(y), self.c(y))


class Branches(nn.Module):
    """Scripted control flow, a list of layers, an argument with a default, two outputs."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
        self.wide = nn.Linear(6, 10)
        self.head = nn.Linear(10, 2)
        self.more = nn.Linear(10, 3)

    def forward(self, x, scale: float = 1.0) -> Tuple[torch.Tensor, torch.Tensor]:
        for i, layer in enumerate(self.layers):
            x = torch.relu(layer(x)) if i % 2 == 0 else x + layer(x)
        y = self.wide(x) * scale
        if y.dim() == 2:
            y = torch.relu(y)
        return self.head(y), self.more(y)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(5, 7)
        self.lstm = nn.LSTM(7, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        y, _ = self.lstm(torch.relu(self.a(x)))
        return self.head(y[:, -1])


def small_networks():
    """name -> (network, input as text, ways)"""
    both = ("traced", "scripted")
    return {
        "residual": (Residual(), "2,3,8,8", (*both, "training")),
        "shuffled": (Shuffled(), "2,3,6,6", both),
        "attention": (Attention(), "2,6:int64:0-19", both),
        "outputs": (Outputs(), "2,6", ("scripted",)),
        "named_outputs": (NamedOutputs(), "2,6", both),
        "branches": (Branches(), "2,6", ("scripted",)),
        "recurrent": (Recurrent(), "2,4,5", both),
    }


def vision_networks():
    """torchvision's, made small where their constructors allow."""
    from torchvision import models
    from torchvision.models import densenet, resnet, shufflenetv2, swin_transformer, vision_transformer
    both = ("traced", "scripted")
    return {
        "resnet": (resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=10), "2,3,32,32",
                   (*both, "training")),
        "mobilenet_v2": (models.mobilenet_v2(width_mult=0.25, num_classes=10), "2,3,32,32",
                         (*both, "training")),
        "shufflenet": (shufflenetv2.ShuffleNetV2([2, 2, 2], [8, 16, 32, 64, 128], num_classes=10),
                       "2,3,32,32", both),
        "squeezenet": (models.squeezenet1_1(num_classes=10), "2,3,64,64", both),
        "densenet": (densenet.DenseNet(8, (2, 2), 16, num_classes=10), "2,3,32,32", both),
        "googlenet": (models.googlenet(init_weights=False, num_classes=10), "2,3,64,64", ("scripted",)),
        "vit": (vision_transformer.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=10),
                "2,3,32,32", both),
        "swin": (swin_transformer.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=10),
                 "2,3,32,32", (*both, "training")),
    }


COMMITTED = ("residual_traced", "residual_scripted", "shuffled_traced", "shuffled_scripted",
             "attention_traced", "attention_scripted", "named_outputs_traced",
             "named_outputs_scripted", "branches_scripted", "recurrent_traced",
             "recurrent_scripted", "resnet_traced", "vit_scripted", "swin_scripted", "bert_traced",
             "segformer_traced", "unet_traced")


def randomise(network, seed):
    """Random weights and statistics: a channel confused with another one shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in list(network.named_parameters()) + list(network.named_buffers()):
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.75)
            elif tensor.dim() < 2:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
                if "norm" in name or "bn" in name:
                    tensor.add_(0.5 if name.endswith("weight") else 0.0)
            elif tensor.abs().max() == 0:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)


def example_input(text, seed=1):
    shape, *rest = text.split(":")
    shape = [int(extent) for extent in shape.split(",")]
    generator = torch.Generator().manual_seed(seed)
    if rest:
        low, high = rest[1].split("-")
        return torch.randint(int(low), int(high) + 1, shape, generator=generator)
    return torch.randn(shape, generator=generator)


def traced_in_training(network, text):
    """Its layers train whatever mode the file is put in; statistics are those before the trace."""
    network = copy.deepcopy(network).train()
    state = copy.deepcopy(network.state_dict())
    trace = torch.jit.trace(network, example_input(text), check_trace=False)
    trace.load_state_dict(state)
    return trace


def converted(network, text, way):
    if way == "scripted":
        return torch.jit.script(network)
    if way == "training":
        return traced_in_training(network, text)
    strict = not isinstance(network, (NamedOutputs, ViTWithUPerNet))
    return torch.jit.trace(network, example_input(text), check_trace=False, strict=strict)


def write_compressed(script, path):
    """A file that LibTorch reads like any other, deflated: zeros take no room."""
    stream = io.BytesIO()
    torch.jit.save(script, stream)
    source = zipfile.ZipFile(stream)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for entry in source.infolist():
            fixed = zipfile.ZipInfo(entry.filename)
            fixed.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(fixed, source.read(entry), compresslevel=9)


def zero_weights(script):
    with torch.no_grad():
        for tensor in list(script.parameters()) + list(script.buffers()):
            if tensor.is_floating_point():
                tensor.zero_()


def make(folder, committed):
    """Writes the files and index.json; returns name -> (file, input)."""
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    networks = {**small_networks(), **familiar_networks()}
    try:
        networks.update(vision_networks())
    except ImportError:
        print("torchvision is not installed: its networks are left out")
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, (network, text, ways) in networks.items():
        randomise(network.eval(), len(made))
        for way in ways:
            if committed and f"{name}_{way}" not in COMMITTED:
                continue
            script = converted(network, text, way)
            path = folder / f"{name}_{way}.pt"
            if committed:
                zero_weights(script)
                write_compressed(script, path)
            else:
                torch.jit.save(script, str(path))
            made[path.stem] = {"file": path.name, "input": text}
    (folder / "index.json").write_text(json.dumps(made, indent=1) + "\n")
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--committed", action="store_true")
    arguments = parser.parse_args()
    print(f"{len(make(arguments.out, arguments.committed))} files in {arguments.out}")


if __name__ == "__main__":
    main()
