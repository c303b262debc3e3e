"""Every file format, read, written and broken."""

import h5py
import numpy as np
import pytest

from sigpy_priors.io import slices as io
from sigpy_priors.io.cfl import read_cfl, write_cfl
from sigpy_priors.io.output import write_image

SHAPE = (3, 4, 40, 36)  # slices, coils, H, W


def noise(rng, shape=SHAPE):
    z = rng.normal(size=shape + (2,)).astype(np.float32)
    return z.view(np.complex64)[..., 0]


def save(path, ksp, key="kspace"):
    """Write (coils, H, W) or (slices, coils, H, W) in the format of the ending."""
    if path.suffix == ".npy":
        np.save(path, ksp)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as f:
            f[key] = ksp
    else:
        slices, coils, height, width = (1,) * (4 - ksp.ndim) + ksp.shape
        dims = [1] * 16
        dims[0], dims[1], dims[3], dims[13] = width, height, coils, slices
        write_cfl(path, ksp.reshape(dims[::-1]))
    return path


def message(error):
    """The text of an error, which must be one line."""
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("ending", [".npy", ".cfl", ".h5"])
def test_volume_round_trip(tmp_path, rng, ending):
    ksp = noise(rng)
    slices = io.open_kspace(save(tmp_path / f"ksp{ending}", ksp))
    assert slices.shape == SHAPE and slices.volume and len(slices) == 3
    for i in range(3):
        np.testing.assert_array_equal(slices[i], ksp[i])
        assert slices[i].dtype == np.complex64


@pytest.mark.parametrize("ending", [".npy", ".cfl"])
def test_one_slice_round_trip(tmp_path, rng, ending):
    ksp = noise(rng, SHAPE[1:])
    slices = io.open_kspace(save(tmp_path / f"ksp{ending}", ksp))
    assert not slices.volume and len(slices) == 1
    np.testing.assert_array_equal(slices[0], ksp)


def test_double_precision_becomes_single(tmp_path, rng):
    ksp = noise(rng, SHAPE[1:]).astype(np.complex128)
    slices = io.open_kspace(save(tmp_path / "ksp.npy", ksp))
    assert slices[0].dtype == np.complex64


def test_cfl_bytes_are_barts(tmp_path):
    """Little-endian complex64, READ fastest, as `bart` itself writes them."""
    (tmp_path / "a.hdr").write_text("# Dimensions\n3 2 1 1 \n")
    np.arange(12, dtype="<f4").tofile(tmp_path / "a.cfl")
    a = read_cfl(tmp_path / "a.cfl")
    assert a.shape == (1,) * 14 + (2, 3)
    expected = np.arange(0, 12, 2) + 1j * np.arange(1, 12, 2)
    np.testing.assert_array_equal(a.ravel(), expected)
    write_cfl(tmp_path / "b.cfl", a)
    assert (tmp_path / "b.cfl").read_bytes() == (tmp_path / "a.cfl").read_bytes()
    dims = (tmp_path / "b.hdr").read_text().splitlines()[1]
    assert dims.split() == ["3", "2"] + 14 * ["1"]


def test_either_name_of_a_bart_pair(tmp_path, rng):
    ksp = noise(rng)
    path = save(tmp_path / "scan.1.cfl", ksp)
    np.testing.assert_array_equal(io.open_kspace(path.with_suffix(".hdr"))[1], ksp[1])


def test_fastmri_single_coil(tmp_path, rng):
    ksp = noise(rng, (3, 40, 36))
    slices = io.open_kspace(save(tmp_path / "ksp.h5", ksp))
    assert slices.shape == (3, 1, 40, 36)
    np.testing.assert_array_equal(slices[2][0], ksp[2])


@pytest.mark.parametrize("ending", [".npy", ".cfl"])
@pytest.mark.parametrize("shape", [(40, 36), (3, 40, 36)])
def test_image_round_trip(tmp_path, rng, ending, shape):
    path = tmp_path / f"img{ending}"
    image = noise(rng, shape)
    write_image(path, image)
    back = np.load(path) if ending == ".npy" else np.squeeze(read_cfl(path))
    np.testing.assert_array_equal(back, image)
    assert not list(tmp_path.glob(".*")), "a temporary file is left"


def test_bart_trajectory(tmp_path, rng):
    """`bart traj` gives (x, y, z); SigPy wants (y, x), y along H."""
    traj = np.zeros((1,) * 13 + (5, 7, 3), np.complex64)  # spokes, samples, xyz
    traj[..., :2] = rng.normal(size=(5, 7, 2))
    write_cfl(tmp_path / "traj.cfl", traj)
    coord = io.read_coord(tmp_path / "traj.cfl")
    assert coord.shape == (5, 7, 2) and coord.dtype == np.float32
    np.testing.assert_array_equal(coord[..., 0], traj.real.reshape(5, 7, 3)[..., 1])
    np.testing.assert_array_equal(coord[..., 1], traj.real.reshape(5, 7, 3)[..., 0])
    dims = [1] * 16
    dims[1], dims[2], dims[3] = 7, 5, 4
    ksp = noise(rng, (4, 5, 7))
    write_cfl(tmp_path / "ksp.cfl", ksp.reshape(dims[::-1]))
    np.testing.assert_array_equal(io.open_kspace(tmp_path / "ksp.cfl", coord)[0], ksp)


@pytest.mark.parametrize("ndim", [1, 2])
def test_noncartesian_volume(tmp_path, rng, ndim):
    coord = rng.normal(size=(5, 7, 2)[2 - ndim :])
    np.save(tmp_path / "coord.npy", coord)
    ksp = noise(rng, (3, 4) + coord.shape[:-1])
    path = save(tmp_path / "ksp.npy", ksp)
    slices = io.open_kspace(path, io.read_coord(tmp_path / "coord.npy"))
    assert len(slices) == 3
    np.testing.assert_array_equal(slices[1], ksp[1])


# What can be wrong with an input: one line that says what to do.


@pytest.mark.parametrize("name", ["a.npy", "a.cfl", "a.h5"])
def test_no_file(tmp_path, name):
    with pytest.raises(ValueError, match="no such file") as e:
        io.open_kspace(tmp_path / name)
    assert name in message(e)


@pytest.mark.parametrize("name", ["ksp.mat", "ksp.npz", "ksp"])
def test_unknown_ending(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="unknown ending .* expected one of .npy"):
        io.open_kspace(tmp_path / name)


@pytest.mark.parametrize("ending", [".npy", ".cfl", ".h5"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.99])
def test_truncated(tmp_path, rng, ending, keep):
    path = save(tmp_path / f"ksp{ending}", noise(rng))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match="cut short") as e:
        io.open_kspace(path)
    assert path.name in message(e)


@pytest.mark.parametrize("ending", [".npy", ".h5"])
def test_other_content(tmp_path, ending):
    path = tmp_path / f"ksp{ending}"
    path.write_bytes(b"this is not k-space " * 100)
    with pytest.raises(ValueError, match="not a") as e:
        io.open_kspace(path)
    message(e)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "ksp.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="got an array of Python objects"):
        io.open_kspace(tmp_path / "ksp.npy")


@pytest.mark.parametrize("text", ["", "# Dimensions", "# Dimensions\n4 x\n", "\0\1"])
def test_bad_bart_header(tmp_path, rng, text):
    path = save(tmp_path / "ksp.cfl", noise(rng))
    path.with_suffix(".hdr").write_text(text)
    with pytest.raises(ValueError, match="not a BART header") as e:
        io.open_kspace(path)
    message(e)


def test_missing_half_of_a_bart_pair(tmp_path, rng):
    path = save(tmp_path / "ksp.cfl", noise(rng))
    path.with_suffix(".hdr").unlink()
    with pytest.raises(ValueError, match="ksp.hdr: no such file; .* two files"):
        io.open_kspace(path)


@pytest.mark.parametrize("dim", [2, 4, 10])
def test_other_bart_dimension(tmp_path, rng, dim):
    dims = [36, 40, 1, 4] + [1] * 12
    dims[dim] = 2
    write_cfl(tmp_path / "ksp.cfl", noise(rng, tuple(dims[::-1])))
    with pytest.raises(ValueError, match=f"dimension {dim} is 2.*bart slice {dim}"):
        io.open_kspace(tmp_path / "ksp.cfl")


@pytest.mark.parametrize("shape", [(36,), (2, 3, 4, 40, 36)])
def test_wrong_number_of_axes(tmp_path, rng, shape):
    path = save(tmp_path / "ksp.npy", noise(rng, shape))
    with pytest.raises(ValueError, match=r"expected \(coils, H, W\)") as e:
        io.open_kspace(path)
    assert str(shape) in message(e)


def test_no_coil_axis(tmp_path, rng):
    path = save(tmp_path / "ksp.npy", noise(rng, (40, 36)))
    with pytest.raises(ValueError, match="no coil axis"):
        io.open_kspace(path)


def test_coils_last(tmp_path, rng):
    path = save(tmp_path / "ksp.npy", noise(rng, (40, 36, 4)))
    with pytest.raises(ValueError, match="coils in the last axis"):
        io.open_kspace(path)


def test_not_complex(tmp_path, rng):
    path = save(tmp_path / "ksp.npy", rng.normal(size=SHAPE))
    with pytest.raises(ValueError, match="float64 numbers, expected complex"):
        io.open_kspace(path)


def test_empty(tmp_path):
    path = save(tmp_path / "ksp.npy", np.zeros((0, 4, 40, 36), np.complex64))
    with pytest.raises(ValueError, match="empty array"):
        io.open_kspace(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, complex(0, -np.inf)])
@pytest.mark.parametrize("ending", [".npy", ".cfl", ".h5"])
def test_not_finite(tmp_path, rng, ending, bad):
    ksp = noise(rng)
    ksp[1, 2, 3, 4] = bad
    slices = io.open_kspace(save(tmp_path / f"ksp{ending}", ksp))
    slices[0]
    with pytest.raises(ValueError, match="slice 1: 1 of .* NaN or infinite") as e:
        slices[1]
    message(e)


@pytest.mark.parametrize("ending", [".npy", ".cfl", ".h5"])
def test_all_zero(tmp_path, rng, ending):
    ksp = noise(rng)
    ksp[2] = 0
    slices = io.open_kspace(save(tmp_path / f"ksp{ending}", ksp))
    with pytest.raises(ValueError, match="slice 2: all zero"):
        slices[2]


def test_h5_without_kspace(tmp_path, rng):
    path = save(tmp_path / "ksp.h5", noise(rng), key="reconstruction_rss")
    with pytest.raises(ValueError, match="reconstruction_rss, expected 'kspace'"):
        io.open_kspace(path)


@pytest.mark.parametrize("ending", [".npy", ".cfl", ".h5"])
def test_maps_that_match(tmp_path, rng, ending):
    ksp = io.open_kspace(save(tmp_path / "ksp.npy", noise(rng)))
    mps = noise(rng)
    path = save(tmp_path / f"maps{ending}", mps, key="maps")
    np.testing.assert_array_equal(io.open_maps(path, ksp)[1], mps[1])


@pytest.mark.parametrize("shape", [(3, 5, 40, 36), (3, 4, 36, 40), SHAPE[1:]])
def test_maps_that_do_not_match(tmp_path, rng, shape):
    ksp = io.open_kspace(save(tmp_path / "ksp.npy", noise(rng)))
    path = save(tmp_path / "maps.npy", noise(rng, shape))
    with pytest.raises(ValueError, match="do not match the k-space") as e:
        io.open_maps(path, ksp)
    message(e)


def test_maps_of_noncartesian_kspace(tmp_path, rng):
    """Samples and image have shapes of their own; coils must still match."""
    coord = rng.normal(size=(50, 2))
    ksp = io.open_kspace(save(tmp_path / "ksp.npy", noise(rng, (4, 50))), coord)
    io.open_maps(save(tmp_path / "maps.npy", noise(rng, (4, 40, 36))), ksp)
    with pytest.raises(ValueError, match="do not match the k-space"):
        io.open_maps(save(tmp_path / "maps5.npy", noise(rng, (5, 40, 36))), ksp)


def test_samples_that_do_not_match_the_coordinates(tmp_path, rng):
    path = save(tmp_path / "ksp.npy", noise(rng, (4, 50)))
    with pytest.raises(ValueError, match="do not match the coordinates"):
        io.open_kspace(path, rng.normal(size=(49, 2)))


@pytest.mark.parametrize("shape", [(50,), (50, 3)])
def test_bad_coordinates(tmp_path, rng, shape):
    np.save(tmp_path / "coord.npy", rng.normal(size=shape))
    with pytest.raises(ValueError, match=r"expected real ones \(..., 2\)"):
        io.read_coord(tmp_path / "coord.npy")


def test_nan_in_an_array(tmp_path):
    np.save(tmp_path / "weights.npy", np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="NaN"):
        io.read_array(tmp_path / "weights.npy")


def test_an_array_in_place_of_a_file(rng):
    """The same items and the same checks; the argument is named, not a file."""
    ksp = noise(rng)
    slices = io.open_kspace(ksp)
    assert slices.shape == SHAPE and slices.volume
    np.testing.assert_array_equal(slices[1], ksp[1])
    assert not io.open_kspace(ksp[0]).volume
    np.testing.assert_array_equal(io.open_maps(ksp, slices)[2], ksp[2])
    with pytest.raises(ValueError, match=r"kspace: got shape \(36,\)"):
        io.open_kspace(ksp[0, 0, 0])
    with pytest.raises(ValueError, match="maps: maps .* of kspace"):
        io.open_maps(ksp[:2], slices)
    coord = rng.normal(size=(50, 2))
    assert io.read_coord(coord).dtype == np.float32
    with pytest.raises(ValueError, match="coord: got .* expected real ones"):
        io.read_coord(coord[:, :1])
    with pytest.raises(ValueError, match="NaN"):
        io.read_array(np.array([np.nan]))


def test_bad_outputs(tmp_path, rng):
    image = noise(rng, (40, 36))
    with pytest.raises(ValueError, match="unknown ending '.tif'"):
        write_image(tmp_path / "out.tif", image)
    with pytest.raises(ValueError, match="make it first"):
        write_image(tmp_path / "missing" / "out.npy", image)
    with pytest.raises(ValueError, match="got shape"):
        write_image(tmp_path / "out.npy", image[0])


@pytest.mark.parametrize("across", [0, 1, 2])
def test_a_slice_across_any_axis_of_barts(tmp_path, rng, across):
    """(1, PHS1, PHS2) and others, as `bart slice` of a 3-D scan leaves them."""
    ksp = noise(rng, SHAPE[1:])
    spatial = np.expand_dims(ksp, ksp.ndim - across)
    write_cfl(tmp_path / "ksp.cfl", spatial.reshape((1,) * 12 + spatial.shape))
    np.testing.assert_array_equal(io.open_kspace(tmp_path / "ksp.cfl")[0], ksp)


@pytest.mark.parametrize("ending", [".cfl", ".npy"])
def test_many_coils_of_low_resolution(tmp_path, rng, ending):
    ksp = noise(rng, (64, 24, 24))
    path = save(tmp_path / f"ksp{ending}", ksp)
    np.testing.assert_array_equal(io.open_kspace(path)[0], ksp)


def test_the_format_tells_the_axes(tmp_path, rng):
    ksp = noise(rng, (64, 64, 20))
    path = save(tmp_path / "ksp.cfl", ksp)
    np.testing.assert_array_equal(io.open_kspace(path)[0], ksp)


def test_boolean_weights(tmp_path, rng):
    mask = rng.random((40, 36)) < 0.5
    np.save(tmp_path / "mask.npy", mask)
    np.testing.assert_array_equal(io.read_array(tmp_path / "mask.npy"), mask)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    with pytest.raises(ValueError, match="text.npy"):
        io.read_array(tmp_path / "text.npy")


def test_size_of_fastmris_own_reconstruction(tmp_path, rng):
    path = save(tmp_path / "ksp.h5", noise(rng))
    assert io.open_kspace(path).image_shape is None
    with h5py.File(path, "a") as f:
        f["reconstruction_rss"] = np.ones((3, 20, 30))
    assert io.open_kspace(path).image_shape == (20, 30)


def test_hdf5_of_any_ending(tmp_path, rng):
    ksp = noise(rng)
    path = save(tmp_path / "ksp.h5", ksp).rename(tmp_path / "ksp.hdf")
    np.testing.assert_array_equal(io.open_kspace(path)[2], ksp[2])
