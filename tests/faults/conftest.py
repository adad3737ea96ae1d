"""Houses on the session's shared broker, under names of their own, for faults that leave the broker alone."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.transport.topology import Topology
from deploy.local.broker import LocalBroker
from tests.faults.house import House, cast


@pytest.fixture
def house(broker: LocalBroker, tmp_path: Path) -> Iterator[House]:
    """Give four nodes on the shared broker, made and not started; ended after."""
    made = house_on(broker, tmp_path)
    yield made
    made.stop()


def house_on(broker: LocalBroker, directory: Path) -> House:
    """Make a house with names that no other test has."""
    suffix = f"-t{uuid.uuid4().hex[:10]}"
    broker.admit(Topology(tuple(sorted(cast(suffix)))))
    return House(directory, broker, int(broker.status()["ports"]["amqps"]), suffix)
