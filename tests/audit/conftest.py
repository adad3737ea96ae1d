"""Databases for the audit tests: each test that takes `url` runs on SQLite and on a real PostgreSQL."""

import pytest

from tests.audit.logs import ENGINES
from tests.fixtures_postgres import postgres_cluster, postgres_url  # noqa: F401 - fixtures are found by name


@pytest.fixture
def sqlite_url(tmp_path):
    """The address of a SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'node.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request):
    """The address of an empty database."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(autouse=True)
def _dispose():
    yield
    while ENGINES:
        ENGINES.pop().dispose()
