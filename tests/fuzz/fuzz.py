"""Damaged files for every loader: ``python tests/fuzz/fuzz.py [--count N] [LOADER ...]``.

Each is read in a process of its own, with limits of time and memory. Bad ends are a
traceback, a hang, more memory than allowed, a crash, and an image with NaN. The same
seeds make the same files: ``--keep FOLDER`` stores those that end badly.
"""

import argparse
import collections
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import good, loaders, mutate, sandbox  # noqa: E402


def fuzz(names=(), count=20, first=0, keep=None, show=None):
    """Try damaged files.

    Args:
        names (sequence of str): loaders, default all.
        count (int): files for each.
        first (int): the first seed.
        keep (Path or None): where files that end badly are stored.
        show (callable or None): is told each bad end.

    Returns:
        dict: loader to a Counter of ends, and under "bad" a list of texts.
    """
    loaders.warm()
    table = {"bad": []}
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        end = sandbox.run(lambda: good.write_all(work), work, 120, 16 << 30)
        if end[0] != "result":
            raise RuntimeError(f"the good files cannot be written: {end}")
        for name in names or loaders.LOADERS:
            table[name] = collections.Counter()
            file, use = loaders.LOADERS[name]
            end = _try(work, file, use, (work / file).read_bytes())
            if end[0] != "result":
                table["bad"].append(f"{name}: the good file ends as {end}")
            data = (work / file).read_bytes()
            for seed in range(first, first + count):
                what, content = mutate.mutant(name, data, seed)
                kind, text = _try(work, file, use, content, keep, f"{name}-{seed}")
                table[name][kind] += 1
                if kind not in sandbox.GOOD:
                    table["bad"].append(f"{name} {seed} {what}: {kind}: {text}")
                    if show:
                        show(table["bad"][-1])
    return table


def _try(work, file, use, content, keep=None, label=""):
    """Write a file, use it, remove it."""
    path = work / f"damaged_{file}"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    kind, text = sandbox.run(lambda: use(path), work)
    if keep and kind not in sandbox.GOOD and path.is_file():
        shutil.copy(path, Path(keep) / f"{label}-{kind}-{file}")
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    return kind, text


def print_table(table):
    """Loader by loader, how the files ended."""
    kinds = (*sandbox.GOOD, *sandbox.BAD)
    print(f"| {'loader':24} |" + "".join(f" {k:>9} |" for k in kinds))
    print(f"|{'-' * 26}|" + f"{'-' * 10}:|" * len(kinds))
    total = collections.Counter()
    for name, ends in table.items():
        if name != "bad":
            total += ends
            print(f"| {name:24} |" + "".join(f" {ends[k]:>9} |" for k in kinds))
    print(f"| {'all':24} |" + "".join(f" {total[k]:>9} |" for k in kinds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loader", nargs="*", choices=[[], *loaders.LOADERS])
    parser.add_argument("--count", type=int, default=110)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path, help="where the table is stored")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    found = fuzz(args.loader, args.count, args.first, args.keep, print)
    print_table(found)
    if args.json:
        args.json.write_text(json.dumps(found))
    sys.exit(bool(found["bad"]))
