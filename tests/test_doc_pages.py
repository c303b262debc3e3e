"""Links, names, commands and scripts that the documentation mentions exist."""

import re
import shlex

import pytest
from documentation import PAGES, README, ROOT, commands, name

from bart_plugin.__main__ import _parser as toolbox_parser
from bart_plugin.commands import passthrough
from sigpy_priors.cli import _parser

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
pages = pytest.mark.parametrize("page", PAGES, ids=name)


def text(page):
    """What is shown: a page that includes another file is that file."""
    included = re.fullmatch(r"```\{include\} (\S+)\n```\n", page.read_text())
    return (page.parent / included[1]).read_text() if included else page.read_text()


def anchors(page):
    """Of the headings, as GitHub and MyST make them."""
    without_code = re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", without_code, re.M)
    slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
    return set(slugs)


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 120


@pages
def test_links_lead_somewhere(page):
    for link in _LINK.findall(text(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "gallery" in target.parts:  # made of the examples
            source = ROOT / "examples" / f"{target.stem}.py"
            assert target.stem == "index" or source.is_file(), link
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_there_are_links_and_pages():
    assert len(PAGES) > 20
    assert sum(len(_LINK.findall(page.read_text())) for page in PAGES) > 60


@pages
def test_scripts_exist(page):
    for script in re.findall(r"(?:tests|examples|configs)/[\w/-]+\.\w+", text(page)):
        assert (ROOT / script).is_file(), script


def test_every_benchmark_has_a_page():
    """Each that is run by itself: what makes a table stands beside it."""
    said = "".join(page.read_text() for page in PAGES)
    for script in (ROOT / "tests" / "benchmarks").glob("*.py"):
        if "__main__" in script.read_text():
            assert script.name in said, f"{script.name} is on no page"


def parsed(words):
    """Raises SystemExit or ValueError for what the command line would refuse."""
    if words[:3] == ["python", "-m", "bart_plugin"]:
        toolbox_parser().parse_args(words[3:])
    elif words[:2] == ["sigpy-priors", "pics"]:
        passthrough._parsed(words[2:])
    elif words[0] == "sigpy-priors":
        _parser(words[1:]).parse_args(words[1:])
    else:
        return False
    return True


@pages
def test_commands_are_understood(page, capsys):
    for line in commands(page.read_text()):
        words = shlex.split(line)
        words = words[words.index("sudo") + 1 :] if words[0] == "sudo" else words
        words[0] = words[0].removeprefix(".venv/bin/")
        try:
            parsed(words)
        except (SystemExit, ValueError) as e:
            pytest.fail(f"{line}\n{capsys.readouterr().err}{e}")


def test_what_is_no_command_is_noticed(capsys):
    with pytest.raises(SystemExit):
        parsed(shlex.split("sigpy-priors recon kspace.cfl --no-such-option"))
    with pytest.raises(SystemExit):
        parsed(shlex.split("python -m bart_plugin rebuild"))
    with pytest.raises(ValueError, match="three files"):
        parsed(shlex.split("sigpy-priors pics kspace maps"))
    assert not parsed(["ls"])
