"""Priors on a stand-in of the Hub: a server that has what was pushed."""

import functools
import hashlib
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sigpy_priors import load_prior
from sigpy_priors.load import read_card

hub = pytest.importorskip("huggingface_hub")


class Handler(BaseHTTPRequestHandler):
    """``/owner/name/resolve/revision/file``, as the Hub answers it."""

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        owner, name, _, revision, file = self.path.strip("/").split("/", 4)
        path = self.server.folder / owner / name / revision / file
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", hashlib.sha1(revision.encode()).hexdigest())
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """The server, and an HfApi that puts files into its folder."""
    folder = tmp_path / "hub"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder = folder
    threading.Thread(target=server.serve_forever, daemon=True).start()

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo, private, exist_ok):
            (folder / repo / "main").mkdir(parents=True, exist_ok=True)

        def create_branch(self, repo, branch, exist_ok):
            (folder / repo / branch).mkdir(parents=True, exist_ok=True)

        def upload_folder(
            self, repo_id, folder_path, revision, allow_patterns, commit_message
        ):
            for name in allow_patterns:
                shutil.copy(
                    Path(folder_path) / name, folder / repo_id / (revision or "main")
                )

    monkeypatch.setattr(hub, "HfApi", Api)
    download = functools.partial(
        hub.hf_hub_download,
        endpoint=f"http://127.0.0.1:{server.server_port}",
        cache_dir=tmp_path / "cache",
        token=False,
    )
    monkeypatch.setattr(hub, "hf_hub_download", download)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def licensed(tiny_prior_file):
    prior = load_prior(tiny_prior_file, runtime="torch")
    prior.card = prior.card.model_copy(update={"license": "CC-BY-4.0"})
    return prior


def test_a_prior_goes_there_and_back(stand_in, licensed, rng):
    assert licensed.push_to_hub("lab/tiny", dtype="float32") == "hf:lab/tiny"
    files = sorted(p.name for p in (stand_in.folder / "lab/tiny/main").iterdir())
    assert files == ["README.md", "prior.safetensors"]
    page = (stand_in.folder / "lab/tiny/main/README.md").read_text()
    assert "spp.load_prior('hf:lab/tiny')" in page and "CC-BY-4.0" in page
    found = load_prior("hf:lab/tiny", runtime="torch")
    x = rng.standard_normal((16, 16)).astype(np.complex64)
    np.testing.assert_array_equal(found.denoise(x, 0.1), licensed.denoise(x, 0.1))
    assert read_card("hf:lab/tiny").name == "tiny"
    # Once there, it needs no network.
    stand_in.shutdown()
    stand_in.server_close()
    load_prior("hf:lab/tiny", runtime="torch")


def test_revisions_are_told_apart(stand_in, licensed):
    assert licensed.push_to_hub("lab/tiny", "v2") == "hf:lab/tiny@v2"
    assert load_prior("hf:lab/tiny@v2:prior.safetensors").card.name == "tiny"
    with pytest.raises(
        ValueError, match="prior.safetensors of lab/tiny could not be had"
    ):
        load_prior("hf:lab/tiny@v3")


def test_what_is_no_name_or_no_prior_to_share(stand_in, tiny_prior_file):
    for name in ("hf:tiny", "hf:lab/tiny@", "hf:a/b/c", "hf:a/b:weights.pt"):
        with pytest.raises(ValueError, match="expected hf:owner/name"):
            load_prior(name)
    prior = load_prior(tiny_prior_file)
    with pytest.raises(ValueError, match="no card with a licence"):
        prior.push_to_hub("lab/tiny")
    with pytest.raises(ValueError, match="repo: expected owner/name"):
        prior.push_to_hub("tiny")
