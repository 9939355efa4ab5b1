#!/usr/bin/env python3
"""Runs the benchmarks of a build one after the other and prints one table: every figure beside its bound or rival of
the same run.    run_all.py [--bin build/release/bin] [--quick] > run.txt

What contestants of one program measured in turns is given as a ratio of processor times too, which is what remains on
a machine that others use; compare.py compares two recorded runs."""

import argparse
import os
import subprocess
import sys

# program, arguments, arguments of --quick
PROGRAMS = [
    ("bench_tile", [], []),
    ("bench_overview", [], ["--tokens", "8192", "--rounds", "3"]),
    ("bench_thumbnails", [], ["--rounds", "2", "--exact", "4"]),
    ("bench_analysis", [], []),
    ("bench_prefill", [], []),
    ("bench_frames", [], ["16384"]),
    ("bench_window", [], ["--long", "32768", "--clicks", "4"]),
]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        info = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in info.get("flags", "").split()]
    return f"{info.get('model name', 'unknown processor')}, {len(os.sched_getaffinity(0))} cores, {' '.join(flags)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--quick", action="store_true", help="smaller cases, a minute or two")
    options = parser.parse_args()
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    print(f"{processor()}; load {os.getloadavg()[0]:.1f}", flush=True)
    failed = []
    for name, long, quick in PROGRAMS:
        command = [os.path.join(options.bin, name), *(quick if options.quick else long)]
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        print(run.stdout.rstrip("\n"), flush=True)
        if run.returncode != 0:
            failed.append(f"{name}: exit {run.returncode}: {run.stderr.strip()[-200:]}")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
