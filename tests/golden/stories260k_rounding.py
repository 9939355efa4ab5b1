#!/usr/bin/env python3
"""How far rounding alone moves stories260K: a textbook PyTorch loop on every device here, in float32 and float64,
against the golden file.    stories260k_rounding.py [../shared/models/stories260K]

Needs torch and numpy; on an H200: hidden states 6e-6, queries 3.6e-6, probabilities 3e-6, of 1e-5 allowed."""

import json
import struct
import sys

import numpy
import torch

FOLDER = (sys.argv[1] if len(sys.argv) > 1 else "../shared/models/stories260K") + "/"
LAYERS, HEAD_DIM, GROUP, EPS = 5, 8, 2, 1e-5


def load(path):
    kinds = {"F32": numpy.float32, "I64": numpy.int64}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: torch.from_numpy(
            numpy.frombuffer(data[slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(entry["shape"]).copy()
        )
        for name, entry in header.items()
    }


def rms(x, weight):
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)


def forward(weights, golden, device, kind):
    w = {name: tensor.to(device, kind) for name, tensor in weights.items()}
    ids = golden["ids"].to(device)
    tokens = len(ids)
    angles = torch.arange(tokens, device=device, dtype=kind)[:, None] * golden["inv_freq"].to(device, kind)
    cos, sin = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    future = torch.ones(tokens, tokens, device=device, dtype=torch.bool).triu(1)

    def turned(x):
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    seen = {}
    x = w["model.embed_tokens.weight"][ids]
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        normed = rms(x, w[name + "input_layernorm.weight"])
        q, k, v = (
            (normed @ w[f"{name}self_attn.{part}_proj.weight"].T).view(tokens, -1, HEAD_DIM).transpose(0, 1)
            for part in "qkv"
        )
        seen |= {f"hidden.{layer}": x, f"q_pre.{layer}": q, f"k_pre.{layer}": k}
        logits = turned(q) @ turned(k).repeat_interleave(GROUP, 0).transpose(1, 2) / HEAD_DIM**0.5
        probs = logits.masked_fill(future, -torch.inf).softmax(-1)
        seen[f"probs.{layer}"] = probs
        mixed = (probs @ v.repeat_interleave(GROUP, 0)).transpose(0, 1).reshape(tokens, -1)
        x = x + mixed @ w[name + "self_attn.o_proj.weight"].T
        normed = rms(x, w[name + "post_attention_layernorm.weight"])
        gate = torch.nn.functional.silu(normed @ w[name + "mlp.gate_proj.weight"].T)
        x = x + (gate * (normed @ w[name + "mlp.up_proj.weight"].T)) @ w[name + "mlp.down_proj.weight"].T
    seen[f"hidden.{LAYERS}"] = rms(x, w["model.norm.weight"])
    return seen


def main():
    weights, golden = load(FOLDER + "model.safetensors"), load(FOLDER + "golden.safetensors")
    devices = ["cpu"] + [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    for device in devices:
        for kind in (torch.float32, torch.float64):
            worst = {}
            for name, values in forward(weights, golden, device, kind).items():
                expected = golden[name].double()
                error = ((values.double().cpu() - expected).abs() / (1 + expected.abs())).max().item()
                quantity = name.split(".")[0]
                worst[quantity] = max(worst.get(quantity, 0), error)
            print(device, kind, " ".join(f"{quantity} {error:.2g}" for quantity, error in worst.items()))


if __name__ == "__main__":
    main()
