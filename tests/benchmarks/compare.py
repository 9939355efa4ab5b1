#!/usr/bin/env python3
"""Compares two recorded runs of a benchmark:  bench_overview > old.txt;  …;  compare.py old.txt new.txt

Prints each row of both runs: median, processor time, and the ratio of processor times to the reference of the same
run, before and after. On a machine that others use too, these say more than the median. Exit 1 if a row became more
than --limit (0.1 = 10 %) worse by its ratio, or by its processor time where it has no ratio."""

import argparse
import sys


def read(path):
    """{(table, row): (median ms, CPU ms, CPU ratio or None)}"""
    rows, table = {}, ""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("|"):
                table = line.strip() or table
                continue
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if cells[0] == "what":
                continue
            ratio = float(cells[5]) if len(cells) > 5 and cells[5] else None
            rows[table, cells[0]] = (float(cells[1]), float(cells[3]), ratio)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--limit", type=float, default=0.1)
    options = parser.parse_args()
    old, new = read(options.old), read(options.new)
    worse, table = 0, None
    for key in (key for key in new if key in old):
        if key[0] != table:
            table = key[0]
            print(f"\n{table}\n{'':48} {'median ms':>21} {'CPU ms':>21} {'CPU ratio':>15}")
        before, after = old[key], new[key]
        has_ratio = before[2] is not None and after[2] is not None
        change = (after[2] / before[2] if has_ratio else after[1] / before[1]) - 1
        worse += change > options.limit
        ratios = f"{before[2]:7.3f}{after[2]:8.3f}" if has_ratio else ""
        print(f"{key[1]:48} {before[0]:10.2f} {after[0]:10.2f} {before[1]:10.2f} {after[1]:10.2f} {ratios:>15} {change:+6.1%}")
    for key in [*(k for k in old if k not in new), *(k for k in new if k not in old)]:
        print("only in one run:", *key, sep="  ")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
