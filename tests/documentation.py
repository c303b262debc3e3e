"""The pages of the documentation, what is in them, and a shell that runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# What Sphinx writes is not here.
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
for room in ("guide", "benchmarks", "api"):
    PAGES += sorted((ROOT / "docs" / room).glob("*.md"))

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Lines that install: what they leave behind is what the tests run in.
_INSTALLATION = re.compile(
    r"git clone|(PIP_EXTRA_INDEX_URL=\S+ )?make demo|\. \.venv/bin/activate"
    r"|pip install|python -m bart_plugin build"
)


def name(page):
    """As ids of tests have it."""
    return str(page.relative_to(ROOT))


def blocks(text, kind):
    """Blocks of a kind, "python" or "sh", without those that say why they do not run."""
    found = [b for b in _BLOCK.finditer(text) if b["kind"] == kind]
    return [b["text"] for b in found if not b["reason"]]


def commands(text):
    """Lines of the shell blocks, without remarks."""
    lines = "".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    return [line for line in lines if line]


def readme_commands(bart):
    """Those of the README that install nothing: of its part on BART, or the others."""
    before, part, after = re.split(
        r"^## In BART\n(.*?)(?=^## )", README.read_text(), flags=re.M | re.S
    )
    text = part if bart else before + after
    return [line for line in commands(text) if not _INSTALLATION.match(line)]


def shell(lines, folder, **variables):
    """Run commands as after the README's activate line, with the packages of this tree."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
    return done
