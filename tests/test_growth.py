"""Long runs do not grow: samples, slices, and calls of a prior."""

import gc
import tracemalloc

import numpy as np
import pytest

from sigpy_priors import load_prior, volume
from sigpy_priors.app import PosteriorSampling

# Bytes of numpy's and Python's memory, to which threads of other tests in the process
# add some ten thousand; an image of 16 x 16 left behind by each call would be 20 MB.
_GROWTH = 200_000


def _grown(function, few, many):
    """Bytes by which `many` calls leave more behind than `few` have done before."""
    for _ in range(few):
        function()
    gc.collect()
    tracemalloc.start()
    try:
        function()  # what tracing itself needs
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(many):
            function()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_what_grows_is_seen():
    kept = []
    assert _grown(lambda: kept.append(np.zeros(100)), 5, 5000) > 10 * _GROWTH


def test_calls_of_a_prior(smooth_prior):
    x = np.ones((16, 16), np.complex64)
    assert _grown(lambda: smooth_prior.denoise(x, 0.2), 20, 10_000) < _GROWTH


def test_resident_memory_of_calls_of_a_network(tiny_prior_file):
    """Torch's own memory, which Python does not trace."""
    resource = pytest.importorskip("resource")
    prior = load_prior(tiny_prior_file)
    x = np.ones((64, 64), np.complex64)
    for _ in range(50):
        prior.denoise(x, 0.2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(500):
        prior.denoise(x, 0.2)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # An image in each call would be 16 MB; the unit is kB, bytes on macOS.
    assert grown < 8_000


def test_slices_of_a_volume(small_volume, smooth_prior):
    y, mps = small_volume
    slices = [y[i % 3] for i in range(500)]
    maps = [mps[0]] * 500
    job = volume.recon(slices, smooth_prior, maps, noise_std=0.01, max_iter=2)
    images = job.run(show_pbar=False)
    for _ in range(20):
        next(images)
    gc.collect()
    tracemalloc.start()
    try:
        next(images)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        count = sum(1 for _ in images)
        gc.collect()
        assert count == 479
        # Python's own caches fill up at first; the images alone would be 980 kB.
        assert tracemalloc.get_traced_memory()[0] - before < 200_000
    finally:
        tracemalloc.stop()


def test_a_thousand_samples_of_which_none_is_kept(small_volume, smooth_prior):
    y, mps = small_volume

    def peak(n):
        app = PosteriorSampling(
            y[0], mps[0], smooth_prior, n, method="diffpir", steps=2, noise_std=0.01,
            keep_samples=False, show_pbar=False,
        )  # fmt: skip
        gc.collect()
        tracemalloc.start()
        try:
            app.run()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(16)
    # A sample is 2 kB, so that keeping them would take 2 MB.
    assert peak(1000) - peak(16) < 200_000
