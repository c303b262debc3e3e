"""Jobs of one conversion script, in one process that keeps its framework.

python serve.py SCRIPT       folders of jobs come on stdin, a line each
"""

import os
import runpy
import sys


def main(script):
    """Do each job as a process of its own would, and say so with a line."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print
    for line in sys.stdin:
        sys.argv = [script, line.strip()]
        sys.path.insert(0, os.path.dirname(script))
        try:
            runpy.run_path(script, run_name="__main__")
        finally:
            print("done", file=answer, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
