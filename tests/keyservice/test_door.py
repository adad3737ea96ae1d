"""The key service's door: who is heard, how much is given, how long a caller waits, and what another process can read."""

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from bus.config import Apart, KeyLimits
from bus.errors import BusError, Retry
from bus.keyservice import door, server
from bus.keyservice.client import _IDLE_MAX, KeyClient
from bus.keyservice.door import Door
from bus.keyservice.protocol import KeyServiceUnavailable, OpenRequest
from bus.keyservice.rates import Rates
from bus.keyservice.server import Server
from bus.keyservice.vault_tables import used_entries
from bus.sealing.envelope import ParsedEnvelope
from bus.sealing.errors import CannotOpen
from bus.sealing.verify import verify
from tests.keyservice.as_user import CANNOT
from tests.keyservice.house import NOW_MS, FixedClock, House, seal_request, ticket

ROOT = Path(__file__).parents[2]
NODE, KEYS, OTHER, GROUP = 61001, 61002, 61003, 61000
"""User ids of a node, its key service and somebody else, and the group of the first two; no account need exist for them."""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run processes as other users")


def run_as(uid: int, groups: list[int], module: str, *arguments: object, **settings) -> subprocess.Popen:
    """Start a module as another user."""
    command = [sys.executable, "-m", "tests.keyservice.as_user", str(uid), ",".join(map(str, groups)), module]
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    return subprocess.Popen([*command, *map(str, arguments)], cwd=ROOT, text=True, **pipes, **settings)


def first_line(process: subprocess.Popen) -> str:
    """Return the first thing a process says; skip where the other user cannot read this checkout."""
    line = process.stdout.readline().strip()
    if not line and process.wait(30) == CANNOT:
        pytest.skip("the other user cannot read this checkout")
    return line


def end(process: subprocess.Popen) -> None:
    """End a process, whatever it does."""
    process.kill()
    process.wait(30)
    process.stdin.close()
    process.stdout.close()


@pytest.fixture
def parsed(house: House) -> ParsedEnvelope:
    """A notice from bank-a, taken in by police-a."""
    made = verify(house.services["bank-a"].seal([seal_request()])[0], house.directory, NOW_MS)
    assert house.services["police-a"].admit(made.payload) == ""
    return made


def request(house: House, parsed: ParsedEnvelope, number: int, actor: str = "li.wei", system: str = "") -> OpenRequest:
    """An opening whose entry is committed: of a person, or of a service."""
    made = ticket(house, parsed, ("ACCOUNT_ID",), token=b"%032d" % number, now_ms=house.clock.at_ms)
    made.entry.actor = sha256(actor.encode()).digest()[:16] if actor else b""
    made.entry.system = system
    house.commit("police-a", made.entry)
    return made.request


@contextmanager
def serving(house: House, place: Path, **settings) -> Iterator[tuple[Server, KeyClient]]:
    """Serve police-a's key service in this process."""
    made = Server(house.services["police-a"], place / "s.sock", **settings)
    made.listen()
    client = KeyClient(place / "s.sock", deadline_s=30)
    try:
        yield made, client
    finally:
        client.close()
        made.close()


def rates(house: House, **limits: int) -> Rates:
    """Rates by the house's clock and log."""
    log = house.logs["police-a"]
    return Rates(KeyLimits(**limits), house.clock, lambda index: log[index] if index < len(log) else None)


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except (BusError, CannotOpen) as error:
        return error.code
    return ""


def test_a_person_opens_so_many_a_minute(house: House, parsed: ParsedEnvelope, tmp_path: Path):
    """Beyond the limit a person is told to wait, with exit code 75, and the entry is not used: a minute later it opens."""
    house.services["police-a"]
    with serving(house, tmp_path, rates=rates(house, opens_per_minute=3)) as (_, client):
        for number in range(3):
            assert client.open(request(house, parsed, number))
        over = request(house, parsed, 3)
        with pytest.raises(Retry) as caught:
            client.open(over)
        assert (caught.value.code, caught.value.exit_code) == ("LF-KEYS-BUSY", 75)
        assert "opens_per_minute" in caught.value.cause
        assert client.open(request(house, parsed, 4, actor="wang.fang")), "another person is not held up"
        house.clock.at_ms += 20_500
        assert refused(lambda: client.open(over)) == "LF-OPEN-LATE", "counted anew, and judged"
        house.clock.at_ms += 20_500
        assert client.open(request(house, parsed, 5))


def test_a_stolen_node_pours_out_no_more_than_the_limit(house: House, parsed: ParsedEnvelope, tmp_path: Path):
    """With a name of its own in every entry, a node gets what all may open; without the limit, everything it asks for."""
    house.services["police-a"]
    for limits, given in (({"all_opens_per_minute": 5}, 5), ({}, 12)):
        with serving(house, tmp_path, rates=rates(house, **limits)) as (_, client):
            asked = [request(house, parsed, given * 100 + n, actor=f"nobody {n}") for n in range(12)]
            assert sum(not refused(lambda it=it: client.open(it)) for it in asked) == given


def test_a_service_is_bound_by_the_limit_for_all(house: House, parsed: ParsedEnvelope, tmp_path: Path):
    """Hand-overs by a service are no person's: the limit for a person does not hold them up."""
    house.services["police-a"]
    with serving(house, tmp_path, rates=rates(house, opens_per_minute=1)) as (_, client):
        made = [request(house, parsed, number, actor="", system="svc-core") for number in range(4)]
        # Policy has its own word on what a service may open; here it is asked at all.
        assert {refused(lambda it=it: client.open(it)) for it in made} == {"LF-OPEN-CONTEXT"}


@pytest.mark.parametrize(
    ("method", "arguments", "setting", "most", "seconds"),
    [
        ("seal", ([None] * 4,), "seals_per_second", 8, 1),
        ("blind", ("phone", ["1"] * 4, 0), "blinds_per_minute", 8, 60),
        ("blind_messages", (["T"] * 4, [b""] * 4, 0), "blinds_per_minute", 8, 60),
        ("subject_values", (b"", "f"), "blinds_per_minute", 2, 60),
        ("unprotect", (b"", b""), "unprotects_per_minute", 2, 60),
        ("open_shipment", (b"",), "all_opens_per_minute", 2, 60),
    ],
)
def test_every_operation_that_gives_has_its_limit(method: str, arguments: tuple, setting: str, most: int, seconds: int):
    """Two calls are let through, the third is not, and after half the time one more is."""
    clock = FixedClock()
    made = Rates(KeyLimits(**{setting: most}), clock, lambda _: None)
    made.admit(method, arguments)
    made.admit(method, arguments)
    assert refused(lambda: made.admit(method, arguments)) == "LF-KEYS-BUSY"
    clock.at_ms += seconds * 500
    made.admit(method, arguments)
    assert refused(lambda: made.admit(method, arguments)) == "LF-KEYS-BUSY"
    for free in ("sign", "public_keys", "inspect", "protect"):
        made.admit(free, ())


def test_a_batch_larger_than_the_limit_is_served_and_waited_for():
    """A batch beyond what is left goes through once; its debt is paid before the next."""
    clock = FixedClock()
    made = Rates(KeyLimits(seals_per_second=10), clock, lambda _: None)
    made.admit("seal", ([None] * 64,))
    clock.at_ms += 5_000
    assert refused(lambda: made.admit("seal", ([None],))) == "LF-KEYS-BUSY"
    clock.at_ms += 500
    made.admit("seal", ([None],))


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o777])
def test_a_socket_lies_where_nobody_else_can_look(house: House, tmp_path: Path, mode: int):
    """A directory open to anybody else is refused at the start, also behind a link."""
    place = tmp_path / "run"
    place.mkdir()
    place.chmod(mode)
    made = Server(house.services["police-a"], place / "s.sock")
    assert refused(made.listen) == "LF-KEYS-SOCKET-OPEN"
    place.chmod(0o700)
    (tmp_path / "link").symlink_to(place)
    assert refused(Server(house.services["police-a"], tmp_path / "link" / "s.sock").listen) == "LF-KEYS-SOCKET-OPEN"


def test_between_two_users_one_group_may_reach_the_socket(tmp_path: Path):
    """For a node under another user the socket is its group's too, in a directory that the group cannot write to."""
    place = tmp_path / "run"
    place.mkdir()
    me = Door(place / "s.sock", frozenset({NODE}), os.getgid())
    for mode, code in ((0o700, ""), (0o750, ""), (0o770, "LF-KEYS-SOCKET-OPEN"), (0o755, "LF-KEYS-SOCKET-OPEN")):
        place.chmod(mode)
        with socket.socket(socket.AF_UNIX) as listener:
            assert refused(lambda it=listener: me.listen(it)) == code
    assert stat.S_IMODE((place / "s.sock").stat().st_mode) == 0o660


def test_the_two_users_are_two_and_neither_is_root():
    """[keys.apart] with the node's own user, root, another than who runs it, or an unknown one is refused by name."""
    me = str(os.getuid())
    right = Apart(socket="/run/x/keys.sock", user=me, node_user=str(NODE), group=str(GROUP), vault="/var/x")
    wrong = [
        replace_in(right, node_user=me),
        replace_in(right, user=str(KEYS)),
        replace_in(right, node_user="no-such-user"),
        replace_in(right, group="no-such-group"),
    ]
    assert [refused(lambda it=it: door.between(it)) for it in wrong] == ["LF-KEYS-USER"] * 4


def replace_in(apart: Apart, **changes: str) -> Apart:
    return apart.model_copy(update=changes)


@AS_ROOT
def test_a_user_that_is_not_named_is_turned_away_unheard(house: House, tmp_path_factory: pytest.TempPathFactory):
    """Whoever gets as far as the socket is still asked who he is; were he among the users, he would be heard."""
    place = Path(f"/tmp/lf-door-{os.getpid()}")
    place.mkdir(mode=0o700)
    knock = (
        "import os,socket,sys;c=socket.socket(socket.AF_UNIX);os.setgroups([]);"
        f"os.setresgid({OTHER},{OTHER},{OTHER});os.setresuid({OTHER},{OTHER},{OTHER});c.connect(sys.argv[1]);c.settimeout(20);c.recv(1)"
    )
    heard: list[int] = []
    try:
        for users in (frozenset({0}), frozenset({0, OTHER})):
            made = Server(house.services["police-a"], place / "s.sock", Door(place / "s.sock", users))
            made._talk = lambda connection: (heard.append(door.peer(connection)), connection.close())
            made.listen()
            place.chmod(0o711)
            (place / "s.sock").chmod(0o666)
            subprocess.run([sys.executable, "-c", knock, place / "s.sock"], check=True, capture_output=True, timeout=60)
            made.close()
            place.chmod(0o700)
    finally:
        (place / "s.sock").unlink(missing_ok=True)
        place.rmdir()
    assert heard == [OTHER]


def test_a_client_speaks_to_its_own_key_service_only(house: House, tmp_path: Path):
    """A process of another user that sits on the socket's path is told nothing."""
    with serving(house, tmp_path) as (_, client):
        assert client.public_keys().agency == "police-a"
        stranger = KeyClient(tmp_path / "s.sock", user=os.getuid() + 1)
        assert refused(stranger.public_keys) == "LF-KEYS-UNAVAILABLE"


def test_an_answer_that_drips_is_not_waited_for(tmp_path: Path):
    """A key service that sends a byte now and then does not hold its caller beyond the deadline."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.sock"))
        listener.listen()
        over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall((1000).to_bytes(4, "big"))
                while not over.wait(0.05):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        began = time.monotonic()
        assert refused(KeyClient(tmp_path / "s.sock", deadline_s=0.5).public_keys) == "LF-KEYS-UNAVAILABLE"
        assert time.monotonic() - began < 10
        over.set()
        dripping.join()


@pytest.mark.parametrize("looks", [True, False])
def test_nothing_is_opened_for_a_caller_who_has_left(
    house: House, parsed: ParsedEnvelope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: bool
):
    """A call whose caller gave up while the service was slow is not performed; without that look it would be, for nobody."""
    if not looks:
        monkeypatch.setattr(door, "has_left", lambda _: False)
    made = request(house, parsed, 1)
    vault = house.services["police-a"]._vault
    with serving(house, tmp_path) as (serving_it, _):
        hasty = KeyClient(tmp_path / "s.sock", deadline_s=0.3)
        before = threading.active_count()
        with serving_it._lock:  # it is busy
            with pytest.raises(KeyServiceUnavailable) as caught:
                hasty.open(made)
            assert caught.value.cure
        wait_until(lambda: threading.active_count() <= before)
        with vault._engine.connect() as connection:
            used = [row.token_digest for row in connection.execute(used_entries.select())]
    assert (sha256(made.token).digest() in used) is not looks


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold"
        time.sleep(0.02)


def test_connections_are_shared_and_few_are_kept(house: House, tmp_path: Path):
    """Two hundred threads that call once each leave no more than a few connections open on either end."""
    with serving(house, tmp_path) as (_, client):
        for _ in range(5):
            threads = [threading.Thread(target=client.public_keys) for _ in range(40)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert 0 < len(client._idle) <= _IDLE_MAX


def test_a_service_that_was_started_again_is_asked_on_a_new_connection(house: House, tmp_path: Path):
    """The first call after a restart is answered: an idle connection that has ended is noticed before it is used."""
    client = KeyClient(tmp_path / "s.sock", deadline_s=30)
    for _ in range(2):
        with serving(house, tmp_path) as (_, other):
            assert client.public_keys() == other.public_keys()
            held = client._idle[0]
        held.shutdown(socket.SHUT_RDWR)
    client.close()


def test_so_many_connections_and_no_more(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A peer that opens connections without end takes no threads without end; one that ends makes room."""
    monkeypatch.setattr(server, "_CONNECTIONS_MAX", 3)
    with serving(house, tmp_path) as (_, client):
        held = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for connection in held:
            connection.settimeout(20)
            connection.connect(str(tmp_path / "s.sock"))
        assert held[3].recv(1) == b""
        assert refused(client.public_keys) == "LF-KEYS-UNAVAILABLE"
        for connection in held:
            connection.close()
        wait_until(lambda: refused(client.public_keys) == "")


@AS_ROOT
@pytest.mark.parametrize("protects", [True, False])
def test_another_process_of_the_same_user_cannot_read_its_memory(protects: bool):
    """A key is found in the memory of a process that does not protect it, and not in one that does as the key service does."""
    victim = run_as(OTHER, [OTHER], "tests.keyservice.memory", "victim", int(protects))
    thief = None
    try:
        assert first_line(victim) == "ready"
        thief = run_as(OTHER, [OTHER], "tests.keyservice.memory", "thief", victim.pid)
        found = first_line(thief)
    finally:
        for process in (victim, thief):
            if process is not None:
                end(process)
    if protects:
        assert found == "refused: PermissionError"
    elif found.startswith("refused"):
        pytest.skip("this system lets no process read another's memory anyway")
    else:
        assert int(found) > 0
