"""The key service as the process it is: its socket, its end, and kill -9 in the middle."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from audit import store as log_store
from audit.store import create_tables, engine
from bus.config import Keys as KeySettings
from bus.directory import DirectoryRefused
from bus.errors import Broken, BusError, Retry, Usage
from bus.keyservice import errors, server, wire
from bus.keyservice.client import KeyClient
from bus.keyservice.protocol import Keys, KeyServiceUnavailable
from bus.keyservice.rekey import rekey
from bus.keyservice.server import SOCKET_NAME, Server
from bus.keyservice.vault import Vault
from bus.keyservice.vault_tables import used_entries
from bus.policy.errors import PolicyError
from bus.process import KeyServiceProcess
from bus.randomness import SystemRandomness
from bus.sealing.envelope import parse_header
from bus.sealing.errors import CannotOpen, GrantRefused
from bus.sealing.verify import verify
from deploy.demo.federation import wait_until
from tests.keyservice import house as houses
from tests.keyservice.house import House, seal_request, ticket

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A key service started as a node starts it."""

    directory: Path
    child: subprocess.Popen
    clients: list[KeyClient] = field(default_factory=list)

    @classmethod
    def start(cls, directory: Path) -> "Process":
        child = subprocess.Popen(
            [sys.executable, "-m", "bus.keyservice", str(directory)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout.readline() == b"ready\n", child.stderr.read()
        return cls(directory, child)

    @property
    def path(self) -> Path:
        return self.directory / "keys" / SOCKET_NAME

    def client(self) -> KeyClient:
        self.clients.append(KeyClient(self.path, deadline_s=20))
        return self.clients[-1]

    def kill(self) -> None:
        os.kill(self.child.pid, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        for client in self.clients:
            client.close()
        self.child.stdin.close()
        self.child.wait(timeout=20)
        self.child.stdout.close()
        self.child.stderr.close()


@dataclass
class Node:
    """An agency's directory as a node has it, and the federation it is of."""

    house: House
    directory: Path
    at_ms: int

    def commit(self, *leaves: bytes) -> None:
        """Write entries as the node's log does; without any, make its tables."""
        made = engine(f"sqlite:///{self.directory / 'node.db'}")
        create_tables(made)
        with made.begin() as connection:
            for index, leaf in enumerate(leaves):
                connection.execute(log_store.entries.insert(), {"idx": index, "leaf": leaf})
        made.dispose()

    def request(self, number: int, **changes):
        return seal_request(number, sent_at_ms=self.at_ms, expires_at_ms=self.at_ms + 86_400_000, **changes)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """police-a's node directory, enrolled by the machine's own clock."""
    at_ms = time.time_ns() // 1_000_000
    house = houses.build(tmp_path, at_ms)
    house.services.pop("police-a").close()
    directory = tmp_path / "node"
    directory.mkdir(mode=0o700)
    (tmp_path / "police-a").rename(directory / "keys")
    (directory / "node.toml").write_text('agency = "police-a"\n')
    (directory / "directory.bin").write_bytes(house.document)
    (directory / "policy.bin").write_bytes(house.policy)
    yield Node(house, directory, at_ms)
    house.close()


@pytest.fixture
def process(node: Node) -> Iterator[Process]:
    made = Process.start(node.directory)
    yield made
    if made.child.returncode is None:
        made.end()


def test_it_seals_takes_in_and_opens_through_its_socket(node: Node, process: Process):
    """Another agency's message is taken in and opened once, for an entry that the service itself finds in the database."""
    client = process.client()
    envelope = node.house.services["bank-a"].seal([node.request(1)])[0]
    parsed = verify(envelope, node.house.directory, node.at_ms)
    assert client.admit(parsed.payload) == ""
    assert client.inspect(parsed.payload).purpose == "early_warning"
    node.house.logs["police-a"] = []
    node.commit()
    node.house.clock.at_ms = time.time_ns() // 1_000_000
    made = ticket(node.house, parsed, ("ACCOUNT_ID",), now_ms=node.house.clock.at_ms)
    with pytest.raises(CannotOpen) as caught:
        client.open(made.request)
    assert caught.value.code == "LF-OPEN-NO-ENTRY"
    node.house.commit("police-a", made.entry)
    node.commit(*node.house.logs["police-a"])
    assert b"622848001" in client.open(made.request)["ACCOUNT_ID"]
    process.kill()
    again = Process.start(node.directory)
    with pytest.raises(CannotOpen) as used:
        again.client().open(made.request)
    again.end()
    assert used.value.code in ("LF-OPEN-USED", "LF-OPEN-LATE")


def test_kill_9_never_repeats_a_sequence_number(node: Node):
    """Killed at any moment while it seals, and started again, it never gives a number out twice."""
    seen: list[tuple[bytes, int]] = []
    for round_number in range(4):
        process = Process.start(node.directory)
        client = process.client()
        requests = [
            node.request(number, recipients=("bank-b", "centre", "police-b"), compartments=_plan())
            for number in range(16)
        ]
        killer = threading.Timer(0.05 + 0.11 * round_number, process.kill)
        killer.start()
        try:
            for _ in range(400):
                seen += [
                    (header.grant_id, header.sequence)
                    for header in (parse_header(envelope).header for envelope in client.seal(requests))
                ]
        except KeyServiceUnavailable:
            pass
        killer.join()
    assert len(seen) > 16
    assert len(set(seen)) == len(seen)


def _plan():
    audiences = dict.fromkeys(houses.AUDIENCES, frozenset({"centre"}))
    return houses.compartments(audiences)


def test_it_ends_when_its_standard_input_does(node: Node, process: Process):
    """A key service never outlives the node that started it."""
    process.end()
    assert process.child.returncode == 0
    with pytest.raises(KeyServiceUnavailable):
        process.client().public_keys()


def test_it_is_its_owners_alone(process: Process):
    """Its socket can be opened by its own user only."""
    assert process.path.stat().st_mode & 0o777 == 0o600


def test_a_second_one_does_not_start(node: Node, process: Process):
    """A second service on the same keys says why it does not start, and the first goes on."""
    second = subprocess.run(
        [sys.executable, "-m", "bus.keyservice", str(node.directory)], cwd=ROOT, capture_output=True, check=False
    )
    assert second.returncode == Usage.exit_code
    assert second.stderr.startswith(b"LF-KEYS-IN-USE")
    assert process.client().public_keys().agency == "police-a"


def test_it_does_not_start_on_open_files(node: Node):
    """Keys that others can read are no keys."""
    (node.directory / "keys").chmod(0o755)
    refused = subprocess.run(
        [sys.executable, "-m", "bus.keyservice", str(node.directory)], cwd=ROOT, capture_output=True, check=False
    )
    assert refused.stderr.startswith(b"LF-KEYS-PERMISSIONS")


def test_nonsense_on_the_socket_harms_nobody_else(process: Process):
    """Frames that are too long, do not parse, or call what is not there end their own connection or get an error."""
    client = process.client()
    for data in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xff\xff", b"\x00\x00\x00\x01", b""):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(process.path))
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    for call in (["_must", ["signing"]], ["close", []], ["__init__", []], ["seal", [1, 2]], ["seal", [None]]):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(process.path))
            wire.send(connection, call)
            answer = wire.receive(connection)
            assert answer[0] == "error"
            assert answer[2] in ("LF-KEYS-UNKNOWN-CALL", "LF-KEYS-FAULT")
    assert client.public_keys().agency == "police-a"


def test_the_protocol_is_all_that_can_be_called():
    """What crosses the socket is what the protocol names; the client has each of its calls."""
    assert {name for name in dir(Keys) if not name.startswith("_")} == server.METHODS
    assert set(dir(KeyClient)) >= server.METHODS
    about_keys = {"public_keys", "key_states", "next_prekey", "retire_key", "sweep_keys", "tag_key"}  # none returns one
    assert not [name for name in server.METHODS - about_keys if "private" in name or "key" in name]


def test_errors_cross_as_what_they_are(house: House, tmp_path: Path):
    """A refusal by the service is the same refusal at the node: kind, code, cause and cure."""
    made = Server(house.services["police-a"], tmp_path / "s.sock")
    made.listen()
    client = KeyClient(tmp_path / "s.sock")
    envelope = house.services["bank-a"].seal([seal_request()])[0]
    parsed = parse_header(envelope)
    for call, kind, code in (
        (lambda: client.install_directory(b"x"), DirectoryRefused, "LF-DIRECTORY-FORM"),
        (lambda: client.install_policy(b"\xff"), PolicyError, "LF-POLICY-FORM"),
        (lambda: client.accept_grant(b"x"), GrantRefused, "LF-SEAL-GRANT-FORM"),
        (lambda: client.unprotect(b"", b""), CannotOpen, "LF-SEAL-CANNOT-OPEN"),
        (lambda: client.grant(parsed.header.grant_id), Usage, "LF-KEYS-NO-GRANT"),
        (lambda: client.sign("everything", b""), Usage, "LF-KEYS-PURPOSE"),
        (
            lambda: client.seal([seal_request(1, recipients=("nobody",), compartments=(), body=b"")]),
            Retry,
            "LF-SEAL-RECIPIENT-SUSPENDED",
        ),
        (lambda: client.inspect(b"\xff"), Exception, "LF-SEAL-FORM"),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.code == code
    client.close()
    made.close()


def test_a_fault_carries_no_value():
    """An unexpected error crosses as its type's name only, never with what it was about."""
    carried = errors.carry(Broken("the key service met ValueError", cure="see its log", code="LF-KEYS-FAULT"))
    assert errors.restore(*carried).args == ("the key service met ValueError",)
    assert type(errors.restore("Stranger", "LF-X", "cause", "cure")) is BusError


def test_the_wire_carries_every_value_of_the_protocol_and_nothing_else(house: House):
    """What is sent is received equal; a type outside the table is refused on both ends."""
    service = house.services["police-a"]
    parsed = parse_header(house.services["bank-a"].seal([seal_request()])[0])
    service.admit(parsed.payload)
    values = [
        service.public_keys(),
        service.inspect(parsed.payload),
        ticket(house, parsed, ("ACCOUNT_ID",)).request,
        seal_request(),
        {"A": b"x", "B": b""},
        ["seal", [[seal_request(1), seal_request(2)]]],
        [None, True, False, 0, -1, 2**62, "", "é", b"\x00"],
    ]
    assert wire.decode(wire.encode(values)) == values
    for value in (1.5, {1, 2}, object(), Path("x"), parsed):
        with pytest.raises(TypeError):
            wire.encode(value)
    for data in (b"\xff", b"\x2a\x02\xff\xff"):
        with pytest.raises(ValueError, match="does not parse"):
            wire.decode(data)


def test_a_frame_nested_too_deeply_is_refused():
    """Nesting beyond the protocol's own depth is refused before it can exhaust anything."""
    value: list = []
    for _ in range(20):
        value = [value]
    with pytest.raises(ValueError, match="nested"):
        wire.decode(wire.encode(value))


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(Retry) as caught:
        call()
    return caught.value.code


def test_a_stopped_key_service_is_left_at_the_deadline(node: Node, process: Process):
    """SIGSTOP: a call ends with a clear error in time; after SIGCONT nothing was done for it, and work goes on."""
    envelope = node.house.services["bank-a"].seal([node.request(1)])[0]
    parsed = verify(envelope, node.house.directory, node.at_ms)
    client = process.client()
    assert client.admit(parsed.payload) == ""
    node.house.logs["police-a"] = []
    made = ticket(node.house, parsed, ("ACCOUNT_ID",), now_ms=node.at_ms)
    node.house.commit("police-a", made.entry)
    node.commit(*node.house.logs["police-a"])
    hasty = KeyClient(process.path, deadline_s=0.5)
    resting = psutil.Process(process.child.pid).num_threads()
    os.kill(process.child.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert _code(lambda: hasty.open(made.request)) == "LF-KEYS-UNAVAILABLE"
        assert time.monotonic() - began < 10
    finally:
        os.kill(process.child.pid, signal.SIGCONT)
    assert client.public_keys().agency == "police-a"
    assert wait_until(lambda: psutil.Process(process.child.pid).num_threads() <= resting, 30.0)
    state = client.state()
    assert (state["core"], state["trace"], state["provider"]) == ("off", "off", "unprotected-file")
    process.end()
    vault = Vault(node.directory / "keys", SystemRandomness())
    with vault._engine.connect() as connection:
        assert connection.execute(used_entries.select()).all() == []
    vault.close()


def test_the_vault_of_another_agency_is_not_served(node: Node):
    """Keys that are another agency's than node.toml names are refused, by both names."""
    (node.directory / "node.toml").write_text('agency = "bank-b"\n')
    refused = subprocess.run(
        [sys.executable, "-m", "bus.keyservice", str(node.directory)], cwd=ROOT, capture_output=True, check=False
    )
    assert refused.stderr.startswith(b"LF-KEYS-OTHER-AGENCY: the vault holds the keys of police-a")


def test_a_node_beside_a_key_service_of_another_user_starts_none(node: Node):
    """Under [keys.apart] a node starts no key service; one that is not there is said, with exit code 75."""
    shutil.rmtree(node.directory / "keys")
    (node.directory / "node.toml").write_text(
        f'agency = "police-a"\n[keys.apart]\nsocket = "{node.directory}/apart.sock"\nuser = "{os.getuid()}"\n'
        'node_user = "nobody"\ngroup = "nobody"\nvault = "/nowhere"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "bus.process", str(node.directory)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr.partition(b":")[0]) == (75, b"LF-KEYS-UNAVAILABLE"), done.stderr
    assert not (node.directory / "logs" / "keyservice.log").exists()


def test_a_passphrase_that_a_node_inherits_reaches_its_key_service(node: Node, tmp_path: Path):
    """A descriptor named in node.toml is handed on to the key service, and gives its secret again when that is started anew."""
    (tmp_path / "words").write_text("correct horse battery staple")
    with (tmp_path / "words").open("rb") as inherited:
        table = {"provider": "passphrase", "passphrase": {"source": f"descriptor:{inherited.fileno()}"}}
        keys = KeySettings.model_validate(table | {"former": {}})
        rekey(node.directory, keys, SystemRandomness())
        (node.directory / "node.toml").write_text(
            f'agency = "police-a"\n[keys]\nprovider = "passphrase"\n'
            f'[keys.passphrase]\nsource = "descriptor:{inherited.fileno()}"\n'
        )
        service = KeyServiceProcess(node.directory, keys.descriptors())
        service.start()
        first = service.pid
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: service.pid not in (0, first), 60.0)
        client = KeyClient(node.directory / "keys" / SOCKET_NAME, deadline_s=20)
        assert wait_until(lambda: _answers(client), 60.0)
        assert client.state()["provider"] == "passphrase"
        client.close()
        service.stop()


def _answers(client: KeyClient) -> bool:
    try:
        return client.public_keys().agency == "police-a"
    except KeyServiceUnavailable:
        return False
