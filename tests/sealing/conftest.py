from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.v1 import envelope_pb2
from tests.keyservice import house as houses
from tests.sealing.attacker import sealed_of


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> houses.House:
    """Five agencies' keys, enrolled once; every test works on a copy."""
    made = houses.build(tmp_path_factory.mktemp("template"))
    made.close()
    return made


@pytest.fixture
def house(tmp_path: Path, template: houses.House) -> Iterator[houses.House]:
    """Five agencies' key services, enrolled, each started when first asked."""
    made = houses.copy_of(template, tmp_path)
    yield made
    made.close()


@pytest.fixture
def pair(house: houses.House) -> list[envelope_pb2.Sealed]:
    """Two messages of one sender under one grant."""
    return [sealed_of(item) for item in house.services["bank-a"].seal([houses.seal_request(1), houses.seal_request(2)])]
