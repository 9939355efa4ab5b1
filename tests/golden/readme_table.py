#!/usr/bin/env python3
"""Puts the table of families and largest errors, as bench_goldens measures them, between the markers in README.md.

    readme_table.py build/release/bin/bench_goldens [FAMILIES_FOLDER]
"""
import pathlib
import subprocess
import sys

BEGIN, END = "<!-- families: written by tests/golden/readme_table.py -->", "<!-- families end -->"


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = sys.argv[2] if len(sys.argv) > 2 else str(root.parent / "shared/models/families")
    table = subprocess.run([sys.argv[1], folder, "cpu", "f32"], check=True, capture_output=True, text=True).stdout
    readme = root / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{table.strip()}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
