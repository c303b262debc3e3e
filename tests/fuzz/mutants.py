"""The damaged files that once ended badly: ``python tests/fuzz/mutants.py [FOLDER]``.

Their names say the loader, what was done, how it ended, and the file's own name.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import loaders, sandbox  # noqa: E402

FOLDER = Path(__file__).parents[3] / "shared" / "cases" / "robust" / "mutants"


def check(folder=FOLDER, show=print):
    """Run all.

    Returns:
        list of str: the files that ended badly, and how.
    """
    loaders.warm()
    bad = []
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        child = sandbox.run(lambda: loaders.scan(work) and None, work)
        if child[0] != "result":
            raise RuntimeError(f"no scan: {child}")
        for file in sorted(folder.iterdir()):
            name, _, rest = file.name.partition("__")
            target = work / f"damaged_{rest.rpartition('__')[2]}"
            shutil.copy(file, target)
            outcome, text = sandbox.run(
                lambda name=name, target=target: loaders.OF_MUTANT[name](target), work
            )
            shutil.rmtree(work / "run", ignore_errors=True)
            show(f"{outcome:9} {file.name}\n          {text[:300]}")
            if outcome not in sandbox.GOOD:
                bad.append(f"{file.name}: {outcome}, {text}")
    return bad


if __name__ == "__main__":
    found = check(*map(Path, sys.argv[1:2]))
    print(f"{len(found)} end badly")
    sys.exit(bool(found))
