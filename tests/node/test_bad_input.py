"""Bad input, from outside: each gets one clear message with cause, cure and code; nothing is lost, nothing half-done is left.

Typed at a running node over its control socket, or brought by the broker. What bad certificates, a broker that is down and
a full disk do is in tests/faults; docs/operating.md names the test of each.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from adapters import read_xml
from bus import refusals, store
from bus.config import load
from bus.control import ControlServer
from bus.errors import Usage
from bus.operations import NodeOperations
from bus.sealing.envelope import parse_header
from bus.transport import Disposition
from schemas.v1 import envelope_pb2
from tests.adapters.files import NOTICE_HEADER, NOTICE_ROW, ORDERS, notice, record
from tests.cli.conftest import Typed, lianfang
from tests.node import stage
from tests.simulator import Simulation

HEADER, ROW = ",".join(NOTICE_HEADER), ",".join(NOTICE_ROW)
STATED = ("--purpose", "early_warning", "--legal-basis", "ATF18")
TABLES = (
    store.messages,
    store.outbox,
    store.orders,
    store.fingerprints,
    store.lineage,
    store.held_back,
    store.quarantine,
)
Desk = Callable[..., Typed]


@pytest.fixture
def desk(simulation: Simulation) -> Iterator[Desk]:
    """Type commands at an agency's node, which answers on its control socket; the world stands still meanwhile."""
    servers: dict[str, ControlServer] = {}

    def at(agency: str, *words: object) -> Typed:
        node = simulation.nodes[agency]
        if agency not in servers:
            servers[agency] = ControlServer(node.directory, node.actors(), NodeOperations(node).table())
            servers[agency].start()
        return lianfang(*words, "--dir", node.directory, "--json")

    yield at
    for server in servers.values():
        server.stop()


def state(simulation: Simulation, agency: str) -> tuple[int, ...]:
    """Count everything that an input could leave at a node, its log included."""
    node = simulation.nodes[agency]
    with node.parts.engine.connect() as connection:
        counts = [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES]
    return (*map(int, counts), node.parts.log.size)


def rows(*accounts: str) -> str:
    """Return rows of a notice export, each with another account."""
    return "".join(ROW.replace(NOTICE_ROW[NOTICE_HEADER.index("账号")], account) + "\n" for account in accounts)


ENTITY = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]><r>&f;</r>'
MANY = notice(*[ROW] * 600)
HOSTILE = [
    ("unknown format", "auto", b"hello, world\n1,2\n", "LF-FILE-UNKNOWN"),
    ("not this dialect", "bank-notice-csv", b"a,b\n1,2\n", "LF-FILE-NO-HEADER"),
    ("no such profile", "no-such-format", notice(), "LF-MAP-UNKNOWN-PROFILE"),
    ("nothing", "auto", b"", "LF-FILE-EMPTY"),
    ("binary", "auto", bytes(range(256)) * 40, "LF-FILE-ENCODING"),
    ("UTF-16", "bank-notice-csv", notice().decode().encode("utf-16"), "LF-FILE-ENCODING"),
    ("wrong byte in the last of 600 rows", "bank-notice-csv", MANY + b"\xff\xff\n", "LF-FILE-ENCODING"),
    ("cut within a character", "bank-notice-csv", MANY[: MANY.rindex("号".encode()[:1]) + 1], "LF-FILE-ENCODING"),
    ("cut off", "tfms-police", record("200101", ORDERS["00101"])[:-40], "LF-XML-SYNTAX"),
    ("not closed", "tfms-police", b"<Request><Head><TxCode>200101</TxCode></Head><Body>", "LF-XML-SYNTAX"),
    ("external entity", "tfms-police", ENTITY, "LF-XML-DTD"),
    ("entity bomb", "tfms-police", b'<!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><r>&b;</r>', "LF-XML-DTD"),
    ("depth", "tfms-police", b"<r>" + b"<a>" * 40 + b"</a>" * 40 + b"</r>", "LF-XML-DEPTH"),
    ("size", "tfms-police", b"<r>" + b"x" * read_xml.XML_BYTES_MAX + b"</r>", "LF-XML-SIZE"),
    ("elements", "tfms-police", b"<r>" + b"<a/>" * (2 * read_xml.ELEMENTS_MAX), "LF-XML-ELEMENTS"),
    (
        "wrong XML encoding",
        "tfms-police",
        '<?xml version="1.0" encoding="UTF-16"?><r/>'.encode("utf-16"),
        "LF-XML-ENCODING",
    ),
    ("unknown code", "tfms-police", record("200999", {}), "LF-XML-CODE"),
]


@pytest.mark.parametrize(("profile", "data", "code"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_a_file_that_cannot_be_read_leaves_nothing(
    simulation: Simulation, desk: Desk, tmp_path: Path, profile: str, data: bytes, code: str
) -> None:
    """A hostile, cut or foreign file is refused as a whole: exit 2, one code with cause and cure, and no trace in the node."""
    path = tmp_path / "given"
    path.write_bytes(data)
    agency, to = ("police-a", "bank-b") if profile == "tfms-police" else ("bank-a", "police-a")
    before = state(simulation, agency)
    done = desk(agency, "send", path, "--to", to, "--profile", profile, *STATED)
    assert (done.code, done.value["code"]) == (2, code)
    assert done.value["cause"]
    assert done.value["cure"]
    assert state(simulation, agency) == before


def test_of_a_table_cut_within_a_row_every_whole_row_goes(simulation: Simulation, desk: Desk, tmp_path: Path) -> None:
    """The cut row is held back with cause and cure; the file sent again as a whole sends only what was missing."""
    whole = f"{HEADER}\n{rows('6222020200012345600', '6222020200012345601', '6222020200012345602')}"
    path = tmp_path / "cut.csv"
    path.write_text(whole[: whole.rindex(",", 0, len(whole) - 12)], encoding="utf-8")
    cut = desk("bank-a", "send", path, "--to", "police-a", *STATED)
    assert (cut.code, cut.value["rows_in"], len(cut.value["sent"])) == (3, 3, 2)
    [held] = cut.value["held_back"]
    assert held["code"] == "LF-ROW-WIDTH"
    assert held["cause"]
    assert held["cure"]
    path.write_text(whole, encoding="utf-8")
    again = desk("bank-a", "send", path, "--to", "police-a", *STATED)
    assert (again.code, len(again.value["already_sent"]), len(again.value["sent"])) == (0, 2, 1)


def _order(simulation: Simulation, desk: Desk, number: str = "APP-1") -> bytes:
    done = desk(
        "police-a", "order", "stop", "--to", "bank-b", "--application-id", number, "--account", stage.NEXT_HOP,
        "--holder", stage.HOLDER, "--amount", "500.00", "--bank", "102100099996",
    )  # fmt: skip
    assert done.code == 0, done
    return bytes.fromhex(done.value["message_id"])


def _body(simulation: Simulation, agency: str, message_id: bytes) -> bytes:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        query = select(store.messages.c.envelope).where(store.messages.c.message_id == message_id)
        return bytes(connection.execute(query).scalar_one())


def test_an_expired_order_is_not_done_and_its_sender_is_told_why(simulation: Simulation, desk: Desk) -> None:
    """Delivered after its time: no order at the bank, and the police sees it expired with the bank's code, cause and cure."""
    envelope = _body(simulation, "police-a", _order(simulation, desk))
    simulation.clock.advance(49 * 3_600_000)
    stage.deliver(simulation, "bank-b", envelope, "police-a", "urgent", "StopPaymentOrder")
    simulation.transports["bank-b"].step()
    simulation.transports["police-a"].step()
    [order] = desk("police-a", "order", "list").value
    assert (order["state"], order["code"]) == ("expired", "LF-IN-EXPIRED")
    assert order["cause"]
    assert order["cure"]
    assert desk("bank-b", "order", "list").value == []
    assert [row["code"] for row in desk("bank-b", "quarantine").value] == ["LF-IN-EXPIRED"]


def test_an_order_that_nobody_took_in_time_is_seen_to_have_expired(simulation: Simulation, desk: Desk) -> None:
    """The bank was away for as long as an order lives: the order list says expired, and why."""
    _order(simulation, desk)
    simulation.clock.advance(49 * 3_600_000)
    simulation.nodes["police-a"].step()
    [order] = desk("police-a", "order", "list").value
    assert (order["state"], order["code"]) == ("expired", "LF-OUT-EXPIRED")
    assert "receipt" in order["cause"]
    assert order["cure"]


@pytest.mark.parametrize("part", ["version", "type"])
def test_the_sender_of_a_newer_release_sees_that_it_was_not_understood(
    simulation: Simulation, desk: Desk, part: str
) -> None:
    """A message of a type or version that the receiver does not know is refused by receipt: code, cause and cure in `sent`."""
    envelope = stage.sealed_notice(simulation)
    message_id = parse_header(envelope).header.message_id

    def newer(header: envelope_pb2.Header, _: envelope_pb2.Sealed) -> None:
        if part == "version":
            header.type_version = 2
        else:
            header.type = "lianfang.v1.TelepathyReport"

    node = simulation.nodes["bank-a"]
    made = stage.signed(simulation.services["bank-a"], "bank-a", stage.rebuilt(envelope, newer))
    with node.parts.write() as connection:  # as a node of that release would have stored it
        values = {"envelope": made, "payload_sha256": parse_header(made).payload_sha256}
        connection.execute(update(store.messages).where(store.messages.c.message_id == message_id).values(values))
        if part == "type":
            connection.execute(update(store.outbox).values(type="lianfang.v1.TelepathyReport"))
    simulation.run(30)
    listed = desk("bank-a", "sent").value
    [delivery] = [row["deliveries"]["police-a"] for row in listed if row["message_id"] == message_id.hex()]
    code = "LF-IN-UNKNOWN-VERSION" if part == "version" else "LF-SCHEMA-UNKNOWN-TYPE"
    assert (delivery["state"], delivery["code"]) == ("refused", code)
    assert "release" in delivery["cure"]
    [kept] = desk("police-a", "quarantine").value
    assert (kept["code"], kept["cause"], kept["cure"]) == (code, delivery["cause"], delivery["cure"])
    assert desk("police-a", "inbox").value == []


def test_a_duplicate_or_a_replay_changes_nothing(simulation: Simulation, desk: Desk) -> None:
    """The same envelope ten times more, at once and after a restart: one message in the inbox, and not one entry more."""
    envelope = _body(simulation, "bank-a", stage.send_notice(simulation))
    before = state(simulation, "police-a")
    outbox = TABLES.index(store.outbox)
    for attempt in range(10):
        if attempt == 5:
            simulation.crash("police-a")
            before = (*before[:-1], before[-1] + 1)  # that the node started is an entry
        assert stage.deliver(simulation, "police-a", envelope) == Disposition.ACK
        simulation.run(5)
    after = state(simulation, "police-a")
    assert after[:outbox] + after[outbox + 1 :] == before[:outbox] + before[outbox + 1 :]
    assert len(desk("police-a", "inbox").value) == 1


def _forged(envelope: bytes) -> bytes:
    made = envelope_pb2.Envelope.FromString(envelope)
    made.signature = bytes(reversed(made.signature))
    return made.SerializeToString(deterministic=True)


def _unknown_key(envelope: bytes) -> bytes:
    def other(header: envelope_pb2.Header, _: envelope_pb2.Sealed) -> None:
        header.sender_key_id = b"stranger"

    made = envelope_pb2.Envelope.FromString(envelope)
    made.payload = stage.rebuilt(envelope, other)
    return made.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_forged, "LF-SEAL-SIGNATURE"),
        (_unknown_key, "LF-SEAL-UNKNOWN-KEY"),
        (lambda envelope: envelope[:-7], "LF-SEAL-FORM"),
        (lambda _: b"", "LF-SEAL-FORM"),
    ],
    ids=["signature", "key", "cut", "empty"],
)
def test_what_nobody_signed_is_kept_as_evidence_and_told(
    simulation: Simulation, desk: Desk, spoil: Callable[[bytes], bytes], code: str
) -> None:
    """Forged or damaged: nothing in the inbox, one row in the quarantine with code, cause, cure and entry; nobody is answered."""
    bad = spoil(stage.sealed_notice(simulation))
    before = state(simulation, "police-a")
    assert stage.deliver(simulation, "police-a", bad) == Disposition.ACK
    [kept] = desk("police-a", "quarantine").value
    assert kept["code"] == code
    assert kept["cause"]
    assert kept["cure"]
    assert kept["entry"] == before[-1]
    changed = [after - was for after, was in zip(state(simulation, "police-a"), before, strict=True)]
    assert changed == [*(int(table is store.quarantine) for table in TABLES), 1]
    assert lianfang("quarantine", "--dir", simulation.nodes["police-a"].directory).out.count("cure:") == 1


def _written(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _as_directory(path: Path, _: bytes) -> None:
    path.unlink()
    path.mkdir()


GOOD = b'agency = "bank-a"\n'
CONFIGURATIONS = [
    ("unknown key", _written, GOOD + b'log_levle = "debug"\n', "LF-CONFIG-UNKNOWN-KEY", "log_level"),
    ("unknown key in a table", _written, GOOD + b'[broker]\nhsot = "x"\n', "LF-CONFIG-UNKNOWN-KEY", "host"),
    ("wrong type", _written, GOOD + b'[broker]\nport = "many"\n', "LF-CONFIG-VALUE", "broker.port"),
    ("out of range", _written, GOOD + b"[broker]\nport = 70000\n", "LF-CONFIG-VALUE", "broker.port"),
    ("missing", _written, b'log_level = "info"\n', "LF-CONFIG-VALUE", "agency"),
    ("bad TOML", _written, GOOD + b"[broker\n", "LF-CONFIG-SYNTAX", "line"),
    ("not UTF-8", _written, GOOD + b"# \xff\n", "LF-CONFIG-UNREADABLE", "UTF-8"),
    ("a directory", _as_directory, b"", "LF-CONFIG-UNREADABLE", "file"),
]


@pytest.mark.parametrize(
    ("lay", "data", "code", "word"), [row[1:] for row in CONFIGURATIONS], ids=[row[0] for row in CONFIGURATIONS]
)
def test_a_wrong_configuration_is_named(
    tmp_path: Path, lay: Callable[[Path, bytes], None], data: bytes, code: str, word: str
) -> None:
    """Every command that reads node.toml says what is wrong in it and what helps; nothing is begun."""
    (tmp_path / "node.toml").write_bytes(GOOD)
    lay(tmp_path / "node.toml", data)
    for command in (("config", "show"), ("node", "run")):
        done = lianfang(*command, "--dir", tmp_path, "--json")
        assert (done.code, done.value["code"]) == (2, code)
        assert word in done.value["cause"] + done.value["cure"]
        assert done.value["cause"]
        assert done.value["cure"]
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_configuration_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """A node.toml of somebody else's is said to be unreadable, with the cure."""
    (tmp_path / "node.toml").write_bytes(GOOD)
    (tmp_path / "node.toml").chmod(0)
    with pytest.raises(Usage) as told:
        load(tmp_path)
    assert told.value.code == "LF-CONFIG-UNREADABLE"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("LIANFANG_NODE_LOG_LEVLE", "debug", "LF-CONFIG-UNKNOWN-KEY"),
        ("LIANFANG_NODE_BROKER__HSOT", "x", "LF-CONFIG-UNKNOWN-KEY"),
        ("LIANFANG_NODE_AGENCY__NAME", "x", "LF-CONFIG-UNKNOWN-KEY"),
        ("LIANFANG_NODE_BROKER__PORT", "many", "LF-CONFIG-VALUE"),
        ("LIANFANG_NODE_BROKER", "x", "LF-CONFIG-VALUE"),
    ],
)
def test_a_wrong_override_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    """A variable that overrides nothing, or with a wrong value, is refused and named as a variable, not as the file."""
    (tmp_path / "node.toml").write_bytes(GOOD)
    monkeypatch.setenv(name, value)
    done = lianfang("config", "show", "--dir", tmp_path, "--json")
    assert (done.code, done.value["code"]) == (2, code)
    assert name in done.value["cause"]
    assert done.value["cure"]


def test_the_meaning_of_a_code_is_that_of_the_docs() -> None:
    """What a listing says of a code is what docs/errors.md says; an unknown code is said to be one."""
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    documented = dict(re.findall(r"^\| `([A-Z-]+)` \| (.*)$", text, re.MULTILINE))
    for code, (cause, cure) in refusals._MEANINGS.items():
        if code.startswith("LF-") and "likewise" not in documented[code]:
            assert documented[code] == f"{cause} | {cure} |"
    assert all(refusals.meaning("LF-OF-TOMORROW"))
    assert refusals.meaning("") == refusals.meaning("ACCEPTED") == ("", "")


def test_the_manual_names_tests_and_codes_that_there_are() -> None:
    """Every row of the table of bad input names a documented code and a test that stands in its file."""
    root = Path(__file__).parents[2]
    table = (root / "docs" / "operating.md").read_text().partition("## Bad input")[2]
    named = re.findall(r"`(tests/[^`]+)::(test_\w+)`", table)
    assert len(named) >= 20
    assert [pair for pair in named if f"def {pair[1]}(" not in (root / pair[0]).read_text()] == []
    documented = (root / "docs" / "errors.md").read_text()
    assert [code for code in re.findall(r"`(LF-[A-Z-]+)`", table) if f"| `{code}` |" not in documented] == []
