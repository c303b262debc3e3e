"""Pictures: what is shown at which scale."""

import subprocess
import sys

import numpy as np
import pytest

from sigpy_priors.show.plot import animate, compare, posterior


@pytest.fixture
def images(brain_slice, rng):
    image = brain_slice[0]
    noise = rng.normal(size=image.shape)
    return image, {"close": image + 0.02 * noise, "far": image + 0.2 * noise}


def shown(figure):
    """Arrays and colour limits of the pictures in a figure, by their title."""
    found = {}
    for axis in figure.axes:
        for picture in axis.get_images():
            key = axis.get_title() or axis.get_xlabel()
            found[key] = picture.get_array(), picture.get_clim()
    return found


def test_one_scale_for_all(images):
    reference, others = images
    figure = compare(others, reference, captions={"close": "c", "far": "f"})
    found = shown(figure)
    assert set(found) == {"reference", "close", "far", "c", "f"}
    assert found["reference"][1] == found["close"][1] == found["far"][1]
    assert found["c"][1] == found["f"][1]
    np.testing.assert_array_equal(found["far"][0], np.abs(others["far"]))
    error = np.abs(np.abs(others["far"]) - np.abs(reference))
    np.testing.assert_array_equal(found["f"][0], error)


def test_captions_are_the_psnr(images):
    reference, others = images
    labels = [a.get_xlabel() for a in compare(others, reference).axes]
    assert sum("dB" in label for label in labels) == 2


def test_a_perfect_image(images):
    """No error at all is still a picture, and its scale is not zero."""
    low, high = shown(compare({"same": images[0]}, images[0]))["inf dB"][1]
    assert low == 0 < high


def test_writes_a_picture_without_a_display(images, tmp_path):
    np.savez(tmp_path / "x.npz", reference=images[0], **images[1])
    code = (
        "import numpy as np; from sigpy_priors.show.plot import compare\n"
        "x = dict(np.load('x.npz')); r = x.pop('reference')\n"
        "compare(x, r, 'picture.png')\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    )
    # No DISPLAY, no MPLBACKEND: as on a server.
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        env={"HOME": str(tmp_path)},
    )
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_errors(images):
    with pytest.raises(ValueError, match="at least one image"):
        compare({}, images[0])
    with pytest.raises(ValueError, match="one shape"):
        compare({"a": images[0][1:]}, images[0])


@pytest.fixture
def samples(rng):
    z = rng.normal(size=(10, 12, 16, 2))
    return 3 + z.view(complex)[..., 0]


def test_posterior(samples, tmp_path):
    figure = posterior(samples, tmp_path / "p.png", image=samples[0])
    found = shown(figure)
    panels = [
        "mean",
        "standard deviation",
        "width of the 90% interval",
        "outside the 90% interval",
    ]
    sheet = [f"sample {i}" for i in range(8)]
    assert list(found)[:12] == panels + sheet
    np.testing.assert_array_equal(found["mean"][0], np.abs(samples.mean(axis=0)))
    np.testing.assert_array_equal(found["sample 3"][0], np.abs(samples[3]))
    assert {found[title][1] for title in sheet} == {found["mean"][1]}
    np.testing.assert_array_equal(found[panels[1]][0], samples.std(axis=0, ddof=1))
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert panels[3] not in shown(posterior(samples, shown=2))
    with pytest.raises(ValueError, match="at least 2"):
        posterior(samples[:1])


def test_animation(samples, tmp_path):
    animate(samples, tmp_path / "p.gif")
    assert (tmp_path / "p.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(ValueError, match=".gif"):
        animate(samples, tmp_path / "p.mp4")


def test_nothing_is_claimed_where_nothing_is_seen(rng):
    """Samples are zero there: scales are those of the rest."""
    samples = rng.normal(size=(6, 32, 32, 2)).view(complex)[..., 0] + 3
    whole = shown(posterior(samples))
    image = rng.normal(size=(32, 96)) + 9
    wide = np.pad(samples, ((0, 0), (0, 0), (32, 32)))
    found = shown(posterior(wide, image=image))
    for title, (_, limits) in whole.items():
        if not title.startswith("sample"):
            assert found[title][1] == pytest.approx(limits)
    [outside] = [v for t, (v, _) in found.items() if t.startswith("outside")]
    assert outside[:, 32:64].any() and not outside[:, :32].any()
