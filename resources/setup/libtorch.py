#!/usr/bin/env python3
"""Brings LibTorch 2.11.0 from its pip wheel into a cache outside the build folder.

Prints the folder to use as CMAKE_PREFIX_PATH. Every wheel is pinned by its SHA-256, unpacked aside
and renamed, so an interrupted run leaves nothing half done and a repeated one costs nothing.

    libtorch.py [--gpu] [--dest DIR] [--where]
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "2.11.0"

# What a CPU program needs: LibTorch itself and the two libraries that libtorch_cpu.so names.
CPU_WHEELS = {
    "torch==2.11.0": "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
    "nvidia-cuda-runtime==13.0.96": "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    "nvidia-cuda-cupti==13.0.85": "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
}

# What libtorch_cuda.so needs beside them, in the versions that the torch wheel asks for. pip checks
# these against the index's own hashes.
GPU_WHEELS = [
    "nvidia-cublas==13.1.0.3", "nvidia-cuda-nvrtc==13.0.88", "nvidia-cufft==12.0.0.61",
    "nvidia-cufile==1.15.1.6", "nvidia-curand==10.4.0.35", "nvidia-cusolver==12.0.4.66",
    "nvidia-cusparse==12.6.3.3", "nvidia-nvjitlink==13.0.88", "nvidia-nvtx==13.0.85",
    "nvidia-cudnn-cu13==9.19.0.56", "nvidia-cusparselt-cu13==0.8.0", "nvidia-nccl-cu13==2.28.9",
    "nvidia-nvshmem-cu13==3.4.5",
]


def say(text):
    print(f"libtorch: {text}", file=sys.stderr, flush=True)


def default_dest():
    if "HEADSCOPE_LIBTORCH" in os.environ:
        return pathlib.Path(os.environ["HEADSCOPE_LIBTORCH"])
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "headscope" / f"libtorch-{VERSION}"


def download(requirement, folder):
    say(f"downloading {requirement}")
    # pip matches platform tags exactly, and these wheels carry many.
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none",
         *platforms, "--dest", str(folder), requirement],
        check=True, stdout=sys.stderr)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"libtorch: {requirement}: expected one wheel, found {len(wheels)}")
    return wheels[0]


def check(wheel, expected):
    digest = hashlib.sha256()
    with open(wheel, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 22), b""):
            digest.update(block)
    if digest.hexdigest() != expected:
        sys.exit(f"libtorch: {wheel.name}: SHA-256 is {digest.hexdigest()}, expected {expected}")


def wanted(name, gpu):
    if name.startswith("torch/include/"):
        return True
    if name.startswith("torch/lib/"):
        skip = ["libtorch_python", "libshm"]
        if not gpu:
            skip += ["libtorch_cuda", "libc10_cuda", "libtorch_nvshmem", "libcaffe2_nvrtc"]
        return not any(part in name for part in skip)
    if name.startswith("nvidia/"):
        return ".so" in name
    return "/licenses/" in name or name.endswith("LICENSE")


def unpack(wheel, dest, gpu):
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            if wanted(item.filename, gpu) and not item.is_dir():
                archive.extract(item, dest)


def install(dest, gpu):
    dest.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix="libtorch-", dir=dest.parent))
    try:
        wheels = list(CPU_WHEELS.items()) + [(name, None) for name in (GPU_WHEELS if gpu else [])]
        for requirement, digest in wheels:
            with tempfile.TemporaryDirectory(dir=dest.parent) as folder:
                wheel = download(requirement, pathlib.Path(folder))
                if digest:
                    check(wheel, digest)
                unpack(wheel, aside, gpu)
        (aside / "headscope-libtorch").write_text(f"{VERSION} {'gpu' if gpu else 'cpu'}\n")
        if dest.exists():
            shutil.rmtree(dest)
        aside.chmod(0o755)
        aside.rename(dest)
    finally:
        if aside.exists():
            shutil.rmtree(aside)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="also the CUDA libraries (about 3 GB)")
    parser.add_argument("--dest", type=pathlib.Path, default=default_dest())
    parser.add_argument("--where", action="store_true", help="only print the folder")
    options = parser.parse_args()
    if not options.where:
        stamp = options.dest / "headscope-libtorch"
        have = stamp.read_text().split() if stamp.exists() else []
        if have[:1] != [VERSION] or (options.gpu and have[1:] != ["gpu"]):
            install(options.dest, options.gpu)
        say(f"LibTorch {VERSION} is in {options.dest}")
    print(options.dest)


if __name__ == "__main__":
    main()
