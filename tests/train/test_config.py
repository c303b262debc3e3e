"""Configs: every mistake has its own clear error, every default is shown."""

from pathlib import Path

import pytest
import yaml

from sigpy_priors.train.config import (
    TrainConfig,
    differences,
    dump_config,
    load_config,
)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optim__lr": "fast"}, r"optim\.lr: .*number.*got 'fast'"),
        ({"optim__stepz": 3}, r"optim\.stepz: Extra inputs"),
        ({"optim__batch_size": 0}, r"optim\.batch_size: .*greater"),
        ({"optim__precision": "int8"}, r"optim\.precision: .*'float32'"),
        ({"sigma__min": 20.0}, r"sigma: .*min must be below max"),
        ({"data__crop": []}, r"data\.crop: "),
        ({"data__crop": [16, 4]}, r"data\.crop\.1: .*8"),
        ({"data__train": []}, r"data\.train: "),
        ({"name": "no spaces"}, r"name: "),
        ({"optim": None}, r"optim: "),
        ({"card__licence": "x"}, r"card\.licence: Extra inputs"),
        ({"card__hours": 1}, r"card\.hours: Extra inputs"),
    ],
)
def test_a_wrong_field_is_named(config_file, changes, message):
    with pytest.raises(ValueError, match=message) as e:
        config_file(**changes)
    assert "tiny.yaml: invalid config" in str(e.value)


def test_all_wrong_fields_are_named_at_once(config_file):
    with pytest.raises(ValueError) as e:
        config_file(optim__lr=-1, seed=-1)
    assert "optim.lr" in str(e.value) and "seed" in str(e.value)


@pytest.mark.parametrize(
    "text, message",
    [
        (b"a: [1", "not valid YAML"),
        (b"- a\n- b", "expected a mapping of fields, got list"),
        (b"", "expected a mapping of fields, got NoneType"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"),
        (b"name: a", "data: Field required$"),
    ],
)
def test_a_broken_file(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=message) as e:
        load_config(path)
    assert str(path) in str(e.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="is a folder"):
        load_config(tmp_path)


def test_overrides_replace_the_files_values(config_file):
    config = load_config(config_file(), optim__steps=3, sigma__max=2, seed=5)
    assert (config.optim.steps, config.sigma.max, config.seed) == (3, 2.0, 5)
    assert config.optim.batch_size == 4


def _leaves(model):
    for name in type(model).model_fields:
        value = getattr(model, name)
        if hasattr(type(value), "model_fields"):
            yield from (f"{name}.{leaf}" for leaf in _leaves(value))
        else:
            yield name


def test_dump_shows_every_default_and_reads_back_as_the_same_run(make_config, tmp_path):
    config = make_config()
    text = dump_config(config)
    shown = yaml.safe_load(text)
    for leaf in _leaves(config):
        node = shown
        for key in leaf.split("."):
            assert key in node, leaf
            node = node[key]
    # The network's own defaults too: "patch" is nowhere in the config.
    assert shown["model"]["options"]["patch"] == 2
    assert shown["model"]["options"]["channels"] == [10, 12]
    assert shown["model"]["precond_options"] == {"sigma_data": 0.2}

    path = tmp_path / "dumped.yaml"
    path.write_text(text)
    again = load_config(path)
    assert differences(config, again.model_dump(mode="json")) == []
    assert dump_config(again) == text


def test_differences_name_fields_but_not_the_card(make_config):
    config = make_config()
    other = make_config(optim__lr=1.0, data__val=[], card__license="MIT")
    names = differences(config, other.model_dump(mode="json"))
    assert sorted(names) == ["data.val", "optim.lr"]
    options = make_config(model__options__patch=1).model_dump(mode="json")
    assert differences(config, options) == ["model.options.patch"]
    assert differences(config, {"name": "x"}) == ["data"]


def test_a_config_cannot_be_changed(make_config):
    with pytest.raises(ValueError, match="frozen"):
        make_config().seed = 1


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_the_committed_configs_are_valid(path):
    config = load_config(path)
    assert isinstance(config, TrainConfig) and config.name == path.stem
    for entry in config.card.data:
        assert entry["source"] and entry["licence"]
