"""What a test does where something from outside the project is missing."""

import os

import pytest


def unavailable(reason):
    """Skip the test with one line; under CI, where nothing may lack, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
