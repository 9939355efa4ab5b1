#!/usr/bin/env bash
# From a fresh clone to a running program, on Debian 12 or Ubuntu 24.04. Every step can be repeated at no cost.
#
#   resources/setup/setup.sh              packages, LibTorch, Release build, and the window on the demo model
#   resources/setup/setup.sh test         the same without the window, then all tests
#   resources/setup/setup.sh build        only packages, LibTorch and the build
#   resources/setup/setup.sh core-only    library and command line alone, no Qt (for a GPU server)
#   resources/setup/setup.sh sanitize     core tests under AddressSanitizer and UBSan
#
# --gpu (before or after the word) also fetches LibTorch's CUDA libraries; without it they are fetched where an
# NVIDIA driver is found. --no-gpu never fetches them.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Clones and build folders share compiled objects.
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1

action=run
gpu=detect
for argument in "$@"; do
  case "$argument" in
    run | test | build | core-only | sanitize) action=$argument ;;
    --gpu) gpu=yes ;;
    --no-gpu) gpu=no ;;
    -h | --help) sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "setup.sh: $argument: unknown, see --help" >&2; exit 2 ;;
  esac
done

core_packages=(build-essential cmake ninja-build ccache pkg-config python3 python3-pip libeigen3-dev
  nlohmann-json3-dev libpcre2-dev libutf8proc-dev libcli11-dev)
window_packages=(qt6-base-dev libqt6svg6-dev libqcustomplot-dev libgl1-mesa-dev xvfb xauth fonts-dejavu-core fonts-noto-cjk)

install_packages() {
  local missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  echo "setup: installing ${missing[*]}"
  "${root[@]}" apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

get_libtorch() {
  # A LibTorch of the user's own, named by CMAKE_PREFIX_PATH, wins.
  local folder
  for folder in ${CMAKE_PREFIX_PATH:+${CMAKE_PREFIX_PATH//:/ }}; do
    if [ -e "$folder/lib/libtorch_cpu.so" ]; then
      echo "setup: using LibTorch in $folder"
      return
    fi
  done
  local options=()
  if [ "$gpu" = yes ] || { [ "$gpu" = detect ] && ldconfig -p | grep -q libcuda.so.1; }; then
    options+=(--gpu)
  fi
  python3 resources/setup/libtorch.py "${options[@]}" >/dev/null
}

build() {
  cmake --preset "$1"
  cmake --build --preset "$1"
}

install_packages "${core_packages[@]}"
[ "$action" = core-only ] || install_packages "${window_packages[@]}"
get_libtorch

case "$action" in
  build) build release ;;
  run)
    build release
    exec build/release/bin/headscope
    ;;
  test)
    # A real model for the tests; those that need it skip, saying so, where it can't be had.
    python3 resources/setup/smollm2.py >/dev/null || echo "setup: SmolLM2 could not be fetched, its tests will skip" >&2
    build release
    ctest --preset release
    ;;
  core-only) build core-only ;;
  sanitize)
    build asan
    ctest --preset asan
    ;;
esac
