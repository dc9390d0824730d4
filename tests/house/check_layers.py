#!/usr/bin/env python3
"""Checks that rooms include only rooms below them, that public headers stay light, that rooms
without Torch stay so, and that no header has `using namespace`. Usage: check_layers.py ROOT"""
import pathlib
import re
import sys

WITHOUT_TORCH = {"core", "graph", "plan", "allocation"}
HEAVY = re.compile(r'#include\s*[<"](torch/(torch|script|extension)\.h|ATen/ATen\.h|torch/csrc/)')
TORCH = re.compile(r'#include\s*[<"](torch|ATen|c10)/')
ROOM = re.compile(r'#include\s*[<"]cpd/(\w+)/')


def rooms_of(root):
    lines = (root / "layers.txt").read_text().splitlines()
    return [line.split(":")[0].strip() for line in lines if line.strip() and line[0] != "#"]


def problems_of(path, room, rooms):
    text = path.read_text(errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        for used in ROOM.findall(line) if room else []:
            if used not in rooms or rooms.index(used) > rooms.index(room):
                yield number, f"room {room} includes room {used}, which is above it"
        is_header = path.suffix in (".h", ".inl")
        if is_header and HEAVY.search(line) and not path.name.endswith("_internal.h"):
            yield number, "a public header includes a heavy LibTorch header"
        if room in WITHOUT_TORCH and TORCH.search(line):
            yield number, f"room {room} is to be free of Torch"
        if is_header and re.search(r"^\s*using namespace", line):
            yield number, "using namespace in a header"


def main():
    root = pathlib.Path(sys.argv[1])
    rooms = rooms_of(root)
    found = []
    for path in sorted((root / "cpd").rglob("*")):
        parts = path.relative_to(root / "cpd").parts
        if path.suffix not in (".h", ".cpp", ".inl"):
            continue
        room = parts[0] if len(parts) > 1 else None  # cpd.h stands above all rooms
        if room and room not in rooms:
            found.append(f"{path}: room {room} is not in layers.txt")
            continue
        found += [f"{path}:{n}: {what}" for n, what in problems_of(path, room, rooms)]
    print("\n".join(found) or f"{len(rooms)} rooms in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
