"""What root installs for everybody is a copy, from where nobody else can write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bart_plugin import toolbox
from bart_plugin.toolbox import installer
from bart_plugin.toolbox.elf import read_dynamic, with_runpath

NOBODY = 65534


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A cache with a small program as BART, and a library that it needs."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs gcc on Linux")
    monkeypatch.setenv("SIGPY_PRIORS_CACHE", str(tmp_path / "cache"))
    lib = tmp_path / "cache" / "tensorflow-2.21.0" / "lib"
    home = tmp_path / "cache" / "bart-0.8.00"
    lib.mkdir(parents=True)
    home.mkdir()
    (tmp_path / "lib.c").write_text("int answer(void) { return 42; }")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\nint answer(void);\nint main(void) { printf("%d", answer()); }'
    )
    name = lib / "libtensorflow_cc.so.2"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wl,-soname,libtensorflow_cc.so.2", "-o", name,
         tmp_path / "lib.c"], check=True)  # fmt: skip
    subprocess.run(
        [compiler, "-o", home / "bart", tmp_path / "main.c", name,
         f"-Wl,-rpath,{lib}"], check=True)  # fmt: skip
    for path in (tmp_path / "cache").rglob("*"):
        path.chmod(0o755)
    return tmp_path / "cache"


def test_it_is_a_copy_that_needs_no_cache(build, tmp_path):
    folder = tmp_path / "commands"
    program = toolbox.install_pics(folder)
    assert toolbox.install_pics(folder) == program  # again
    dynamic = read_dynamic(program.read_bytes())
    assert dynamic.runpath == "$ORIGIN/pics.lib"
    assert "libtensorflow_cc.so.2" in dynamic.needed
    shutil.rmtree(build)
    assert subprocess.run([program], capture_output=True, text=True).stdout == "42"
    library = folder / "pics.lib" / "libtensorflow_cc.so.2"
    for path in (program, library, library.parent):
        status = path.lstat()
        assert status.st_uid == os.geteuid() and not status.st_mode & 0o022
        assert not path.is_symlink()
    assert sorted(p.name for p in folder.iterdir()) == ["pics", "pics.lib"]
    assert toolbox.uninstall_pics(folder) is True
    assert not list(folder.iterdir()) and toolbox.uninstall_pics(folder) is False


def test_others_are_left_alone(build, tmp_path):
    (tmp_path / "pics").write_text("somebody's")
    with pytest.raises(toolbox.BuildError, match="not ours"):
        toolbox.install_pics(tmp_path)
    assert toolbox.uninstall_pics(tmp_path) is False
    (tmp_path / "pics").unlink()
    (tmp_path / "pics").symlink_to(build / "bart-0.8.00" / "bart")  # of old versions
    program = toolbox.install_pics(tmp_path)
    assert not program.is_symlink()


@pytest.mark.parametrize("what", ["bart", "folder", "library", "commands"])
@pytest.mark.parametrize("how", ["mode", "owner"])
def test_what_others_can_change_is_refused_and_not_run(build, tmp_path, what, how):
    if how == "owner" and os.geteuid():
        pytest.skip("needs root")
    home, folder = build / "bart-0.8.00", tmp_path / "commands"
    folder.mkdir(mode=0o755)
    ran = tmp_path / "ran"
    if what == "bart":
        (home / "bart").write_text(f"#!/bin/sh\ntouch {ran}\necho v0.8.00\n")
    path = {
        "bart": home / "bart", "folder": home, "commands": folder,
        "library": build / "tensorflow-2.21.0/lib/libtensorflow_cc.so.2",
    }[what]  # fmt: skip
    path.chmod(0o777) if how == "mode" else os.chown(path, NOBODY, NOBODY)
    with pytest.raises(toolbox.BuildError, match="can be changed by others than root"):
        toolbox.install_pics(folder)
    assert not ran.exists() and not list(folder.iterdir())


def test_a_program_that_is_none_is_said(build):
    file = build / "bart-0.8.00" / "bart"
    whole = file.read_bytes()
    for content in (b"#!/bin/sh\n", whole[:100], whole[:2000]):
        file.write_bytes(content)
        with pytest.raises(toolbox.BuildError, match="is no build of BART"):
            toolbox.install_pics(build)
    with pytest.raises(ValueError, match="no room"):
        with_runpath(whole, "x" * 1000)
    file.unlink()
    with pytest.raises(toolbox.BuildError, match="no TensorFlow-enabled BART"):
        installer.install_pics(build)


def test_the_real_one(bart080, tmp_path):
    program = toolbox.install_pics(tmp_path)
    env = {**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}
    said = subprocess.run([program], env=env, capture_output=True, text=True).stdout
    found = [line for line in said.splitlines() if "tensorflow" in line]
    assert len(found) == 2 and all(str(tmp_path) in line for line in found)
    assert str(Path.home()) not in said or str(tmp_path).startswith(str(Path.home()))
