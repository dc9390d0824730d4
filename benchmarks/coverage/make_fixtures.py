#!/usr/bin/env python3
"""Makes TorchScript files of torchvision's networks for the coverage run, traced and scripted.

Usage: make_fixtures.py OUT [--filter PATTERN ...] [--largest 150e6] [--forms traced,scripted]
                       [--image 224]

Needs torch 2.11.0 and torchvision 0.26.0. Weights are random; batch-norm statistics are those of one
random batch, disturbed, and the affine parameters of norms are random too: a channel confused with
another one shows in the outputs. Files that are there already are kept.
"""
import argparse
import fnmatch
import json
import pathlib
import sys
import warnings

import torch
import torchvision
from torch import nn
from torchvision import models

VERSIONS = {"torch": "2.11.0", "torchvision": "0.26.0"}
SIZES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}
FIXED_SIZE = ("vit_", "swin_", "maxvit_", "ssd300")  # others take images of any size
SMALLEST = {"inception_v3": 80}
IN_DOUBLE = ("resnet18", "vit_b_32")
IN_HALF = ("squeezenet1_1",)


class RawHeads(nn.Module):
    """A detector without its preparation of images and without what follows its heads. Region heads
    see the finest features, pooled to the size of a region."""

    def __init__(self, detector):
        super().__init__()
        self.backbone = detector.backbone
        self.roi_heads = getattr(detector, "roi_heads", None)
        self.rpn_head = detector.rpn.head if self.roi_heads is not None else None
        self.head = getattr(detector, "head", None)

    def forward(self, x):
        features = list(self.backbone(x).values())
        if self.roi_heads is None:
            return tuple(self.head(features).values())
        objectness, deltas = self.rpn_head(features)
        return tuple(objectness + deltas) + self.regions(features[0])

    def regions(self, features):
        heads = self.roi_heads
        outputs = heads.box_predictor(heads.box_head(pooled(features, 7)))
        if heads.mask_head is not None:
            outputs += (heads.mask_predictor(heads.mask_head(pooled(features, 14))),)
        if heads.keypoint_head is not None:
            outputs += (heads.keypoint_predictor(heads.keypoint_head(pooled(features, 14))),)
        return outputs


def pooled(features, size):
    return nn.functional.adaptive_avg_pool2d(features, size)


def families():
    """name -> family, in the order of torchvision's lists"""
    of = {"classification": models, "segmentation": models.segmentation, "detection": models.detection}
    return {name: family for family, module in of.items() for name in models.list_models(module=module)}


def make_network(name, family):
    if family == "classification":
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return models.get_model(name, weights=None, **options)
    network = models.get_model(name, weights=None, weights_backbone=None)
    return RawHeads(network) if family == "detection" else network


def count(name):
    """Parameters of the published network."""
    return models.get_model_weights(name).DEFAULT.meta["num_params"]


def randomise(network, example, seed):
    generator = torch.Generator().manual_seed(seed)
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    settle_statistics(network, example)
    for module in network.modules():
        if isinstance(module, norms) and module.weight is not None:
            module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
            module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.2)
        if getattr(module, "running_var", None) is not None:
            shape = module.running_var.shape
            shift = torch.randn(shape, generator=generator) * 0.2
            module.running_mean.add_(shift * (module.running_var + 1e-6).sqrt())
            module.running_var.mul_(torch.rand(shape, generator=generator) + 0.5).add_(1e-6)
    for name, parameter in network.named_parameters():
        constant = parameter.numel() > 1 and bool((parameter == parameter.reshape(-1)[0]).all())
        if "layer_scale" in name:
            parameter.copy_(torch.rand(parameter.shape, generator=generator) * 0.5 + 0.25)
        elif constant:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def settle_statistics(network, example):
    """Running statistics become those of one batch, so that activations keep their scale."""
    layers = [module for module in network.modules()
              if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.momentum = 1.0
        layer.train()
    network(example)
    network.eval()
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum


def in_form(network, form, example):
    network = network.eval()
    if form == "scripted":
        return torch.jit.script(network)
    if form == "double":
        return torch.jit.trace(network.double(), example.double(), check_trace=False, strict=False)
    if form == "half":
        return torch.jit.trace(network.half(), example.half(), check_trace=False, strict=False)
    return torch.jit.trace(network, example, check_trace=False, strict=False)


def forms_of(name, family):
    forms = ["traced"] if family == "detection" else ["traced", "scripted"]
    forms += ["double"] if name in IN_DOUBLE else []
    return forms + (["half"] if name in IN_HALF else [])


def size_of_run(name, size, image):
    """Height and width of the images that the run takes; files are traced with their own."""
    return size if name.startswith(FIXED_SIZE) else min(size, max(image, SMALLEST.get(name, 0)))


def make(name, family, forms, folder, index, image):
    size = SIZES.get(name, 224)
    of_run = size_of_run(name, size, image)
    example = torch.randn([2, 3, size, size], generator=torch.Generator().manual_seed(1))
    missing = [form for form in forms if not (folder / f"{name}_{form}.pt").exists()]
    torch.manual_seed(0)
    for form in missing:
        if form == missing[0] or form in ("double", "half"):
            network = make_network(name, family)
            with torch.no_grad():
                randomise(network, example, 2)
        torch.jit.save(in_form(network, form, example), str(folder / f"{name}_{form}.pt"))
    for form in forms:
        dtype = {"double": ":float64", "half": ":float16"}.get(form, "")
        index[f"{name}_{form}"] = {"network": name, "family": family, "form": form,
                                   "file": f"{name}_{form}.pt", "input": f"2,3,{of_run},{of_run}{dtype}"}


def check_versions():
    for module in (torch, torchvision):
        found, wanted = module.__version__.split("+")[0], VERSIONS[module.__name__]
        if found != wanted:
            sys.exit(f"{module.__name__} is {found}; these fixtures are made with {wanted}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--filter", nargs="*", default=["*"], help="names of networks, with *")
    parser.add_argument("--largest", type=float, default=150e6, help="parameters of the largest")
    parser.add_argument("--image", type=int, default=224,
                        help="height and width of the run's images, where a network takes any")
    parser.add_argument("--forms", default="traced,scripted,double,half")
    arguments = parser.parse_args()
    check_versions()
    warnings.filterwarnings("ignore")
    torch.backends.mha.set_fastpath_enabled(False)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "index.json"
    index = json.loads(path.read_text()) if path.exists() else {}
    for name, family in families().items():
        if not any(fnmatch.fnmatch(name, pattern) for pattern in arguments.filter):
            continue
        if count(name) > arguments.largest:
            print(f"{name}: left out, it has more than {arguments.largest:.3g} parameters")
            continue
        wanted = arguments.forms.split(",")
        forms = [form for form in forms_of(name, family) if form in wanted]
        make(name, family, forms, arguments.out, index, arguments.image)
        path.write_text(json.dumps(index, indent=1) + "\n")
        print(f"{name}: {', '.join(forms)}", flush=True)


if __name__ == "__main__":
    main()
