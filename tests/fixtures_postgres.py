"""A real PostgreSQL for tests: one private cluster per test process, one empty database per test.

Without PostgreSQL the tests fail and say so; LIANFANG_SKIP_POSTGRES=1 skips them, and CI never sets it.
"""

import os

import pytest

from deploy.local.postgres import Cluster


@pytest.fixture(scope="session")
def postgres_cluster():
    """The private cluster; stopped, and its directory removed, at the end."""
    if os.environ.get("LIANFANG_SKIP_POSTGRES") == "1":
        pytest.skip("LIANFANG_SKIP_POSTGRES=1")
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster):
    """The address of an empty database."""
    return postgres_cluster.new_database()
