#!/usr/bin/env python3
"""Cut the first row of every tensor out of ../shared/models/gguf-types/blocks.{gguf,safetensors}.

    python3 make_blocks.py SHARED/models/gguf-types

The originals hold random valid blocks of every type, and their values as gguf-py and ggml's C code decode them (both
the same, bit for bit; make_gguf_types.py there made them). Needs the standard library only.
"""
import json
import struct
import sys
from pathlib import Path

source = Path(sys.argv[1])
target = Path(__file__).resolve().parent
ALIGNMENT = 32


def pad(data):
    return data + b"\0" * (-len(data) % ALIGNMENT)


def read_string(data, at):
    (length,) = struct.unpack_from("<Q", data, at)
    return data[at + 8 : at + 8 + length], at + 8 + length


# GGUF: the metadata of the original, texts only, is left out.
data = (source / "blocks.gguf").read_bytes()
magic, version, tensors, keys = struct.unpack_from("<4sIqq", data)
assert magic == b"GGUF"
at, infos = 24, []
for _ in range(keys):
    _, at = read_string(data, at)
    assert struct.unpack_from("<i", data, at) == (8,)
    _, at = read_string(data, at + 4)
for _ in range(tensors):
    name, at = read_string(data, at)
    rank, cols, rows, kind, offset = struct.unpack_from("<IqqiQ", data, at)
    assert rank == 2
    at += struct.calcsize("<IqqiQ")
    infos.append((name, cols, rows, kind, offset))
start = at + -at % ALIGNMENT
ends = [info[4] for info in infos[1:]] + [len(data) - start]
header, body = struct.pack("<4sIqq", b"GGUF", version, tensors, 0), b""
for (name, cols, rows, kind, offset), end in zip(infos, ends):
    row = (end - offset) // rows  # all sizes are multiples of the alignment
    header += struct.pack("<Q", len(name)) + name + struct.pack("<IqqiQ", 2, cols, 1, kind, len(body))
    body = pad(body + data[start + offset : start + offset + row])
(target / "blocks.gguf").write_bytes(pad(header) + body)

# safetensors: the first row of the values.
data = (source / "blocks.safetensors").read_bytes()
(length,) = struct.unpack_from("<Q", data)
header, body = {}, b""
for name, entry in sorted(json.loads(data[8 : 8 + length]).items()):
    if name == "__metadata__":
        continue
    begin = 8 + length + entry["data_offsets"][0]
    cols = entry["shape"][1]
    header[name] = {"dtype": "F32", "shape": [1, cols], "data_offsets": [len(body), len(body) + 4 * cols]}
    body += data[begin : begin + 4 * cols]
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
(target / "blocks.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
