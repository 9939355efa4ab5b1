#!/usr/bin/env python3
"""Prefill of a GGUF model: headscope-cli with capture beside Hugging Face transformers, in turns on the same cores.

    prefill_transformers.py [--model FILE.gguf] [--tokens 2048] [--rounds 3] [--cli build/release/bin/headscope-cli]

Rivals: sdpa without capture, and eager with output_attentions (all attention maps, which is what one needs there for
what a capture gives here). All in f32 from the same file, which transformers dequantises. Each round runs every
contestant once; the table gives the median, the spread (largest − smallest, of the median), tokens a second, and the
median of the rounds' ratios to Headscope. Needs torch, transformers and gguf."""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    parser.add_argument("--model", default=os.path.join(cache, "headscope", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cli", default="build/release/bin/headscope-cli")
    parser.add_argument("--eager", action=argparse.BooleanOptionalAction, default=True,
                        help="also with all attention maps: tokens² · heads · layers · 4 bytes")
    return parser.parse_args()


def headscope(options, folder):
    """Seconds of the prefill as the program measures them, capture included."""
    with open(os.path.join(folder, "ids.json"), "w", encoding="utf-8") as file:
        json.dump(options.ids, file)
    command = [options.cli, "run", options.model, "--ids-file", file.name, "--out",
               os.path.join(folder, "capture.safetensors"), "--threads", str(options.threads), "--device", "cpu",
               "--dtype", "f32", "--json"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)["seconds"]


def transformers_runs(options):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(options.threads)
    folder, file = os.path.split(os.path.abspath(options.model))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    model = model.to("cpu").eval()
    ids = torch.tensor([options.ids])

    def run(attention, **wanted):
        model.set_attn_implementation(attention)
        with torch.inference_mode():
            start = time.perf_counter()
            model(ids, use_cache=False, **wanted)
            return time.perf_counter() - start

    contestants = {"transformers, sdpa, no capture": lambda: run("sdpa")}
    if options.eager:
        contestants["transformers, eager, output_attentions"] = lambda: run("eager", output_attentions=True)
    return contestants


def main():
    options = arguments()
    generator = random.Random(1)
    options.ids = [generator.randrange(1000, 40000) for _ in range(options.tokens)]
    with tempfile.TemporaryDirectory() as folder:
        contestants = {"headscope, capture": lambda: headscope(options, folder), **transformers_runs(options)}
        seconds = {name: [] for name in contestants}
        for number in range(-1, options.rounds):  # the first round warms up
            for name, run in contestants.items():
                took = run()
                if number >= 0:
                    seconds[name].append(took)
    first = seconds["headscope, capture"]
    print(f"prefill of {os.path.basename(options.model)}, {options.tokens} tokens, {options.threads} threads, f32")
    print(f"| {'what':40} | {'median s':>8} | {'spread':>7} | {'tokens/s':>8} | {'ratio to headscope':>18} |")
    for name, times in seconds.items():
        median = statistics.median(times)
        ratio = statistics.median(time / own for time, own in zip(times, first))
        spread = (max(times) - min(times)) / median
        print(f"| {name:40} | {median:8.2f} | {spread:6.0%} | {options.tokens / median:8.0f} | {ratio:18.2f} |")


if __name__ == "__main__":
    main()
