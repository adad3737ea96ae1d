from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keyservice import house as houses
from tests.keyservice import tokens as softhsm_tokens


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


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[softhsm_tokens.Tokens]:
    """SoftHSM's tokens; installed from the distribution when it is missing."""
    with softhsm_tokens.made(tmp_path_factory.mktemp("softhsm")) as made:
        yield made
