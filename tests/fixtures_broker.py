"""The private RabbitMQ of the test session: one for all workers and all sessions in this checkout, gone with the last.

Tests share the broker and not its agencies: `broker_agencies` admits new ones under names that no other test has. Set
LIANFANG_SKIP_BROKER=1 to skip these tests where RabbitMQ cannot be had; otherwise its absence is a failure.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.errors import BusError
from bus.transport.topology import Topology
from deploy.local.broker import LocalBroker
from deploy.local.processes import Process, _start_time

SKIP_VARIABLE = "LIANFANG_SKIP_BROKER"
DIRECTORY = Path(__file__).parents[1] / ".lianfang" / "test-broker"

MakeAgencies = Callable[..., tuple[str, ...]]


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalBroker]:
    """Give the session's private broker. Do not stop, kill or restart it: others are on it."""
    if os.environ.get(SKIP_VARIABLE) == "1":
        pytest.skip(f"{SKIP_VARIABLE}=1")
    shared = LocalBroker(DIRECTORY)
    users = DIRECTORY / "users"
    me = users / f"{os.getpid()}-{_start_time(os.getpid())}"
    with _locked():
        users.mkdir(parents=True, exist_ok=True)
        if not _alive(users):
            shared.stop()
            shutil.rmtree(DIRECTORY / "data", ignore_errors=True)
        me.touch()
        start(shared)
    try:
        yield shared
    finally:
        with _locked():
            me.unlink()
            if not _alive(users):
                shared.stop()


@pytest.fixture
def broker_agencies(broker: LocalBroker) -> MakeAgencies:
    """Give a function that admits new agencies, one for each word, everybody linked to everybody among them."""

    def admit(*words: str) -> tuple[str, ...]:
        token = uuid.uuid4().hex[:10]
        names = tuple(f"{word}-t{token}" for word in words)
        broker.admit(Topology(names))
        return names

    return admit


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """Give a broker of the test's own, which it may kill. Not started yet; stopped after."""
    if os.environ.get(SKIP_VARIABLE) == "1":
        pytest.skip(f"{SKIP_VARIABLE}=1")
    own = LocalBroker(tmp_path / "own-broker")
    try:
        yield own
    finally:
        own.stop()
        shutil.rmtree(own.directory / "data", ignore_errors=True)


def start(broker: LocalBroker, *agencies: str) -> None:
    """Start a broker; a failure with cause and cure when RabbitMQ cannot be had."""
    try:
        broker.start(agencies)
    except BusError as error:
        pytest.fail(f"no RabbitMQ: {error.cause}; cure: {error.cure}, or set {SKIP_VARIABLE}=1", pytrace=False)


@contextmanager
def _locked() -> Iterator[None]:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (DIRECTORY / "session.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _alive(users: Path) -> list[Path]:
    """Return the sessions that still run, forgetting those that have died."""
    found = []
    for entry in users.iterdir():
        pid, _, started = entry.name.partition("-")
        if Process(int(pid), int(started)).is_running():
            found.append(entry)
        else:
            entry.unlink(missing_ok=True)
    return found
