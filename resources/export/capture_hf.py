#!/usr/bin/env python3
"""Runs a Hugging Face model and writes what its attention saw as a Headscope capture file.

For models that are too large for the machine that Headscope runs on, or that only run in Python: also spread over GPUs
or nodes by accelerate (`--device-map auto`). The file means the same as that of `headscope-cli run --out`: queries and
keys before RoPE, per layer; any map can be computed from it. It is checked before it is written: the rotation that the
file describes must turn the captured q and k into those that the model's attention read; a model that does more than
that is refused.

    capture_hf.py MODEL --out capture.safetensors (--text S | --text-file F | --ids-file F)
                  [--dtype float32|bfloat16|float16] [--device-map auto] [--store f32|bf16|f16]

Needs torch, transformers 5 and safetensors.
"""
import argparse
import json
import os
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

try:
    from transformers import AttentionMaskInterface
    from transformers.masking_utils import eager_mask
except ImportError:  # pragma: no cover
    AttentionMaskInterface = None

NAME = "headscope_capture"
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-3}


class Refused(Exception):
    pass


class Recorder:
    """Collects one prefill, layer by layer, on the CPU."""

    def __init__(self, store):
        self.store = store
        self.layers = {}
        self.before = None  # q, k, cos, sin of the rotation that comes before the next attention

    def rotation(self, original):
        def apply_rotary_pos_emb(q, k, cos, sin, *args, **kwargs):
            self.before = (q, k, cos, sin)
            return original(q, k, cos, sin, *args, **kwargs)
        return apply_rotary_pos_emb

    def attention(self, module, query, key, value, mask, scaling=None, dropout=0.0, **kwargs):
        index = module.layer_idx
        self.layers[index] = self.describe(module, query, key, scaling, kwargs)
        self.before = None
        # Softcaps and sinks exist in the eager code of their families only.
        eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        plain = kwargs.get("softcap") is None and kwargs.get("s_aux") is None
        chosen = ALL_ATTENTION_FUNCTIONS["sdpa"] if plain or eager is None else eager
        return chosen(module, query, key, value, mask, scaling=scaling, dropout=0.0, **kwargs)

    def describe(self, module, query, key, scaling, kwargs):
        q_post, k_post = query[0], key[0]  # [heads, tokens, dim]
        dim = q_post.shape[-1]
        layer = {
            "scale": float(scaling) if scaling is not None else dim ** -0.5,
            "window": kwargs.get("sliding_window") or None,
            "softcap": kwargs.get("softcap"),
            "rope": None,
        }
        q, k, rope = q_post, k_post, None
        if self.before is not None:
            q, k = (self.whole(part[0], post) for part, post in zip(self.before, (q_post, k_post)))
            rope = find_rope(q, k, q_post, k_post, *self.before[2:])
        sinks = kwargs.get("s_aux")
        return {"spec": layer, "rope": rope, "q": q.to("cpu", self.store).contiguous(),
                "k": k.to("cpu", self.store).contiguous(),
                "sinks": None if sinks is None else sinks.float().cpu().contiguous()}

    @staticmethod
    def whole(part, post):
        """Some families hand only the rotated dims to the rotation; the others are the same before and after."""
        return part if part.shape[-1] == post.shape[-1] else torch.cat([part, post[..., part.shape[-1]:]], -1)


def rotate(x, pairing, angles, scaling):
    r = 2 * angles.shape[-1]
    cos, sin = torch.cos(angles) * scaling, torch.sin(angles) * scaling
    turned = x.clone()
    a, b = (x[..., : r // 2], x[..., r // 2: r]) if pairing == "half" else (x[..., 0:r:2], x[..., 1:r:2])
    first, second = a * cos - b * sin, b * cos + a * sin
    if pairing == "half":
        turned[..., : r // 2], turned[..., r // 2: r] = first, second
    else:
        turned[..., 0:r:2], turned[..., 1:r:2] = first, second
    return turned


def find_rope(q, k, q_post, k_post, cos, sin):
    """Frequencies are read off the second position's angles; the pairing is the one that explains q and k after RoPE."""
    cos, sin = (t.reshape(-1, t.shape[-1])[: q.shape[-2]].float().cpu() for t in (cos, sin))
    if q.shape[-2] < 2:
        raise Refused("at least two tokens are needed to read the rotation off")
    every = torch.atan2(sin[1].double(), cos[1].double())
    scaling = float(torch.hypot(sin[1].double(), cos[1].double()).mean())
    half = every.shape[-1] // 2
    candidates = [("half", every[:half]), ("interleaved", every[0::2]), ("interleaved", every[:half]),
                  ("interleaved", every), ("half", every)]
    positions = torch.arange(q.shape[-2], dtype=torch.float32)[:, None]
    allowed = TOLERANCE[q.dtype]
    for pairing, inv_freq in candidates:
        if 2 * inv_freq.shape[-1] > q.shape[-1]:
            continue
        angles = positions * inv_freq.float()
        error = max(float((rotate(x.float().cpu(), pairing, angles, scaling) - y.float().cpu()).abs().max()) /
                    max(1.0, float(y.abs().max())) for x, y in ((q, q_post), (k, k_post)))
        if error <= allowed:
            return {"pairing": pairing, "inv_freq": [float(f) for f in inv_freq.float()],
                    "attention_scaling": round(scaling, 7), "rotary_dims": 2 * inv_freq.shape[-1],
                    "base": base_of(inv_freq)}
    raise Refused("its attention reads q and k that RoPE alone does not explain; this script can't describe it")


def base_of(inv_freq):
    """The base of unscaled frequencies θ_m = base^(−2m/r), from the second one; scaled models keep their own list."""
    return float(inv_freq[1]) ** (-inv_freq.shape[-1]) if len(inv_freq) > 1 and inv_freq[1] > 0 else 10000.0


def install(model, recorder):
    modules = {type(m).__module__ for m in model.modules()}
    for name in modules:
        module = sys.modules[name]
        if hasattr(module, "apply_rotary_pos_emb"):
            module.apply_rotary_pos_emb = recorder.rotation(module.apply_rotary_pos_emb)
    AttentionInterface.register(NAME, recorder.attention)
    if AttentionMaskInterface is not None:
        AttentionMaskInterface.register(NAME, eager_mask)
    model.set_attn_implementation(NAME)


def token_texts(tokenizer, ids):
    return [tokenizer.decode([i]) for i in ids] if tokenizer is not None else []


def capture(model, ids, store, text="", tokens=()):
    """tensors and metadata of one prefill of `ids`."""
    recorder = Recorder(store)
    install(model, recorder)
    device = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        model(torch.tensor([ids], device=device), use_cache=False)
    layers = [recorder.layers[i] for i in sorted(recorder.layers)]
    if not layers:
        raise Refused("its attention does not go through transformers' attention interface")
    ropes, tensors = [], {"ids": torch.tensor(ids, dtype=torch.int64)}
    for index, layer in enumerate(layers):
        if layer["rope"] is not None:
            if layer["rope"] not in ropes:
                ropes.append(layer["rope"])
            layer["spec"]["rope"] = ropes.index(layer["rope"])
        tensors[f"q.{index}"], tensors[f"k.{index}"] = layer["q"], layer["k"]
        if layer["sinks"] is not None:
            tensors[f"sinks.{index}"] = layer["sinks"]
    first = layers[0]
    header = {"version": 1, "model": os.path.basename(str(model.name_or_path).rstrip("/")) or "model",
              "family": model.config.get_text_config().model_type, "layers": len(layers),
              "heads": first["q"].shape[0], "kv_heads": first["k"].shape[0], "head_dim": first["q"].shape[-1],
              "attention": [layer["spec"] for layer in layers], "ropes": ropes}
    if tokens:
        header["tokens"] = list(tokens)
    if text:
        header["text"] = text
    return tensors, {"headscope": json.dumps(header, ensure_ascii=False)}


def read_input(options, tokenizer):
    if options.ids_file:
        return json.loads(pathlib.Path(options.ids_file).read_text()), ""
    text = options.text if options.text is not None else pathlib.Path(options.text_file).read_text(encoding="utf-8")
    if tokenizer is None:
        raise Refused("has no tokenizer; give --ids-file")
    return tokenizer(text)["input_ids"], text


def load_tokenizer(path):
    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError):
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--out", required=True)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--text")
    given.add_argument("--text-file")
    given.add_argument("--ids-file")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--store", default="f32", choices=["f32", "bf16", "f16"])
    parser.add_argument("--device-map", default=None)
    options = parser.parse_args()
    try:
        tokenizer = load_tokenizer(options.model)
        ids, text = read_input(options, tokenizer)
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype),
                                                     device_map=options.device_map).eval()
        store = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[options.store]
        tensors, metadata = capture(model, ids, store, text, token_texts(tokenizer, ids))
        aside = f"{options.out}.{os.getpid()}.part"
        save_file(tensors, aside, metadata=metadata)
        os.replace(aside, options.out)
    except (Refused, OSError, ValueError) as error:
        sys.exit(f"capture_hf.py: {options.model}: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
