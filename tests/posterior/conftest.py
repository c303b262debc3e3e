import pytest
from sampling_oracle import Oracle


@pytest.fixture(scope="session")
def oracle():
    return Oracle()
