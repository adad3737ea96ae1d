"""Node and key service under two users, as deploy/systemd runs them: only a test started by root can play that."""

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from bus.sealing.verify import verify
from tests.keyservice import house as houses
from tests.keyservice.house import House, seal_request, ticket
from tests.keyservice.test_door import AS_ROOT, GROUP, KEYS, NODE, OTHER, end, first_line, run_as

pytestmark = [AS_ROOT, pytest.mark.timeout(240)]


@dataclass
class Two:
    """police-a's node and key service in one place of their own, each under its user, and what they say."""

    place: Path
    house: House
    service: Popen
    node: Popen

    @property
    def socket(self) -> Path:
        return self.place / "run" / "keys.sock"

    def do(self, *words: object, process: Popen | None = None) -> Any:
        """Have the node do something; return what came of it."""
        asked = process or self.node
        asked.stdin.write(json.dumps(words) + "\n")
        asked.stdin.flush()
        return json.loads(asked.stdout.readline())


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def laid_out(place: Path, house: House) -> None:
    """Lay out the directories as docs/operating.md says, with the owners that it says."""
    shutil.copytree(house.root / "police-a", place / "keys" / "vault")
    for name, uid, mode in (("node", NODE, 0o710), ("run", KEYS, 0o750), ("keys/logs", KEYS, 0o700)):
        (place / name).mkdir()
        (place / name).chmod(mode)
        os.chown(place / name, uid, GROUP)
    for path in (place / "keys" / "vault", *(place / "keys" / "vault").iterdir()):
        os.chown(path, KEYS, KEYS)
    (place / "keys" / "directory.bin").write_bytes(house.document)
    (place / "keys" / "policy.bin").write_bytes(house.policy)
    (place / "keys" / "node.toml").write_text(
        f'agency = "police-a"\ndatabase = "sqlite:///{place}/node/node.db"\n\n[keys.apart]\nsocket = "{place}/run/keys.sock"\n'
        f'user = "{KEYS}"\nnode_user = "{NODE}"\ngroup = "{GROUP}"\nvault = "{place}/keys/vault"\n'
    )


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    house = houses.build(tmp_path, time.time_ns() // 1_000_000)
    house.services.pop("police-a").close()
    place = Path(tempfile.mkdtemp(prefix="lf-two-", dir="/tmp"))
    place.chmod(0o755)
    laid_out(place, house)
    arguments = (place / "node", place / "run" / "keys.sock", KEYS, place / "keys" / "vault")
    node = run_as(NODE, [GROUP], "tests.keyservice.two_users", *arguments)
    service = None
    try:
        assert first_line(node) == "ready"
        service = run_as(KEYS, [KEYS, GROUP], "bus.keyservice.__main__", place / "keys")
        assert first_line(service) == "ready"
        yield Two(place, house, service, node)
    finally:
        for process in (node, service):
            if process is not None:
                end(process)
        house.close()
        shutil.rmtree(place)


def test_a_node_under_another_user_is_served_and_reads_no_key(two: Two):
    """Under two users the node opens what policy permits through the socket, and cannot read the vault; as one user it can."""
    envelope = two.house.services["bank-a"].seal(
        [seal_request(sent_at_ms=two.house.clock.at_ms, expires_at_ms=two.house.clock.at_ms + 86_400_000)]
    )[0]
    parsed = verify(envelope, two.house.directory, two.house.clock.at_ms)
    assert two.do("agency") == "police-a"
    assert two.do("admit", base64_of(parsed.payload)) == ""
    two.house.logs["police-a"] = []
    two.house.clock.at_ms = time.time_ns() // 1_000_000
    made = ticket(two.house, parsed, ("ACCOUNT_ID",), now_ms=two.house.clock.at_ms)
    two.house.commit("police-a", made.entry)
    asked = made.request
    opening = [base64_of(part) for part in (asked.payload, asked.token, asked.context)]
    assert two.do("open", *opening, ["ACCOUNT_ID"], 0) == "LF-OPEN-NO-ENTRY"
    assert two.do("commit", 0, base64_of(two.house.logs["police-a"][0])) == "committed"
    opened = two.do("open", *opening, ["ACCOUNT_ID"], 0)
    assert b"622848001" in base64.b64decode(opened["ACCOUNT_ID"])
    assert two.do("steal") == "PermissionError"
    vault = two.place / "keys" / "vault"
    for path in (vault, *vault.iterdir()):
        os.chown(path, NODE, GROUP)  # one user for both: what the two of them are for
    assert "kek.json" in two.do("steal")


def test_who_is_in_the_group_and_not_the_node_is_turned_away(two: Two):
    """The group opens the way to the socket and no further: another user of it is not heard, one outside it not even let near."""
    assert two.do("knock") == ""
    for groups, said in (([GROUP], ("", "ConnectionResetError", "BrokenPipeError")), ([OTHER], ("PermissionError",))):
        place = two.place / f"other-{groups[0]}"
        place.mkdir()
        os.chown(place, OTHER, groups[0])
        arguments = (place, two.socket, KEYS, two.place / "keys" / "vault")
        other = run_as(OTHER, groups, "tests.keyservice.two_users", *arguments)
        try:
            assert first_line(other) == "ready"
            assert two.do("agency", process=other) == "LF-KEYS-UNAVAILABLE"
            assert two.do("knock", process=other) in said
            assert two.do("steal", process=other) == "PermissionError"
        finally:
            end(other)


def test_it_reads_the_nodes_database_and_writes_nothing_there(two: Two):
    """The key service holds the node's database open for reading alone, and no file in the node's directory is its own."""
    assert two.do("agency") == "police-a"
    owners = {path.name: path.stat().st_uid for path in (two.place / "node").iterdir()}
    assert owners
    assert set(owners.values()) == {NODE}
    assert two.service.poll() is None
    two.service.terminate()
    assert two.service.wait(30) == 0
