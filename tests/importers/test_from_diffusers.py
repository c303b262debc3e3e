"""A UNet2DModel of diffusers to ONNX."""

import json
import shutil

import numpy as np
import pytest

from sigpy_priors.importers import ConversionError


def test_pipeline(diffusers_models, convert):
    session, meta = convert(diffusers_models)
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    assert [i.name for i in session.get_inputs()] == ["x", "t"]
    hints = json.loads(meta["sigpy_priors.hints"])
    assert hints["parametrization"] == "v"
    # The cosine schedule as published, not as any library computes it.
    t = np.arange(501) / 500
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    np.testing.assert_allclose(hints["schedule"]["betas"], betas, rtol=1e-4)


def test_network_alone(diffusers_models, convert, tmp_path):
    shutil.copytree(diffusers_models / "unet", tmp_path / "net")
    session, meta = convert(tmp_path / "net", spec="x:1,2,16,24 t:1")
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    assert session.get_inputs()[0].shape == [1, 2, 16, 24]
    hints = json.loads(meta["sigpy_priors.hints"])
    assert "schedule" not in hints and "parametrization" not in hints


def test_another_network(diffusers_models, convert, tmp_path):
    shutil.copytree(diffusers_models / "unet", tmp_path / "net")
    config = tmp_path / "net" / "config.json"
    config.write_text(config.read_text().replace("UNet2DModel", "UNet2DConditionModel"))
    with pytest.raises(ConversionError, match="UNet2DConditionModel; only"):
        convert(tmp_path / "net")
