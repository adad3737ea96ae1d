"""The trust sentences of ARCHITECTURE.md, each with its attacker: it fails, and it succeeds once its check is taken out.

The second half of each test is what makes the first half mean something: an attack that fails for another reason than the
check would fail without the check too.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bus import documents, enrolment, store
from bus.directory import Directory, DirectoryRefused
from bus.errors import Refused
from bus.inbound import ACCEPTED, Inbound, _Examined
from bus.keyservice.service import KeyService
from bus.outbound import Draft
from bus.parts import Actor, Statement
from bus.policy.bundle import Bundle
from bus.policy.model import Decision
from bus.sealing import boxes
from bus.sealing import verify as verifying
from bus.sealing.envelope import parse_header
from bus.sealing.verify import verify
from bus.transport import Outgoing
from schemas.v1 import workflow_pb2
from tests.node import stage
from tests.simulator import Simulation

Patch = pytest.MonkeyPatch
PLANTED = (stage.ACCOUNT, stage.NEXT_HOP, stage.HOLDER)


def _taken(simulation: Simulation, agency: str = "police-a") -> list:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return list(connection.execute(select(store.messages).where(store.messages.c.direction == "in")))


def _carried(simulation: Simulation) -> list[bytes]:
    """Let the broker keep what it carries, and return it."""
    kept: list[bytes] = []

    def keep(row: Outgoing) -> None:
        kept.append(row.body)

    simulation.broker.publish_fault = keep
    stage.send_notice(simulation, to=("centre", "police-a"))
    return kept


def test_the_broker_cannot_read(simulation: Simulation, monkeypatch: Patch) -> None:
    """Nothing classed stands in what the broker carries: it is the sealing that keeps it out."""
    carried = b"".join(_carried(simulation))
    assert not [value for value in PLANTED if value.encode() in carried]
    monkeypatch.setattr(boxes, "close", lambda key, compartment, place, plain: plain + bytes(16))
    carried = b"".join(_carried(simulation))
    assert [value for value in PLANTED if value.encode() in carried] == list(PLANTED)


def test_the_broker_cannot_forge(simulation: Simulation, monkeypatch: Patch) -> None:
    """A receipt that its signer never wrote ends no row: it is the signature that stops it."""

    def forged(row_id: bytes, digest: bytes) -> bytes:
        body = workflow_pb2.Receipt(message_id=row_id, payload_sha256=digest, outcome=1)
        sealed = stage.sealed_by(simulation, "telecom-c", body, ("bank-a",))

        def rename(header, _) -> None:
            police = simulation.nodes["bank-a"].parts.directory.member("police-a")
            header.sender, header.sender_key_id = "police-a", police.signing_keys[0].key_id

        return stage.signed(simulation.services["telecom-c"], "police-a", stage.rebuilt(sealed, rename))

    def state() -> str:
        with simulation.nodes["bank-a"].parts.engine.connect() as connection:
            return str(connection.execute(select(store.outbox)).one().state)

    parsed = parse_header(stage.sealed_notice(simulation))
    lie = forged(parsed.header.message_id, parsed.payload_sha256)
    stage.deliver(simulation, "bank-a", lie, sender="police-a", type_name="Receipt")
    assert state() == "waiting"
    monkeypatch.setattr(verifying, "all_hold", lambda *_: True)
    stage.deliver(simulation, "bank-a", lie, sender="police-a", type_name="Receipt")
    assert state() == "receipted"


def test_the_broker_cannot_re_address(simulation: Simulation, monkeypatch: Patch) -> None:
    """A message brought to an agency that it was not signed for is not taken: its own list of recipients decides."""
    envelope = stage.sealed_notice(simulation)
    stage.deliver(simulation, "centre", envelope)
    assert not _taken(simulation, "centre")

    def believing(self: Inbound, delivery) -> _Examined:
        return _Examined(delivery, ACCEPTED, "", verify(delivery.body, self._parts.directory, 0))

    monkeypatch.setattr(Inbound, "_verified", believing)
    stage.deliver(simulation, "centre", envelope)
    assert not _taken(simulation, "centre"), "its grant is for others too: two checks stand behind each other"
    monkeypatch.setattr(KeyService, "admit_all", lambda self, payloads: ["" for _ in payloads])
    later = stage.sealed_notice(simulation)
    stage.deliver(simulation, "centre", later)
    assert len(_taken(simulation, "centre")) == 1


def test_a_replay_has_no_second_effect(simulation: Simulation) -> None:
    """What came before is not taken again: it is the inbox's memory that stops it."""
    stage.send_notice(simulation)
    node = simulation.nodes["police-a"]
    envelope, size = _taken(simulation)[0].envelope, node.parts.log.size
    stage.deliver(simulation, "police-a", envelope)
    assert node.parts.log.size == size
    with node.parts.engine.begin() as connection:  # the memory is lost
        connection.execute(store.inbox.delete())
        connection.execute(store.messages.delete())
    stage.deliver(simulation, "police-a", envelope)
    assert node.parts.log.size > size


def test_the_broker_cannot_splice(simulation: Simulation, monkeypatch: Patch) -> None:
    """A box of one message opens in no other, even where the sender helps: header and place are associated data."""
    first, second = (boxes.Place(f"header {at}".encode(), b"", bytes([at]) * 16, at) for at in (1, 2))
    key, plain = b"k" * 32, b"payer and payee"
    box = boxes.close(key, 1, first, plain)
    moved = replace(first, header=second.header)
    with pytest.raises(Exception, match="does not open"):
        boxes.open_box(key, 1, moved, box)
    monkeypatch.setattr(boxes, "_associated", lambda compartment, place: b"")
    monkeypatch.setattr(boxes, "message_key", lambda key, compartment, place: key)
    assert boxes.open_box(key, 1, moved, boxes.close(key, 1, first, plain)) == plain


def test_an_agency_cannot_speak_as_another(simulation: Simulation, monkeypatch: Patch) -> None:
    """A notice that a telecom signs in a bank's name is refused: the key in the directory decides."""
    payload = stage.rebuilt(stage.sealed_notice(simulation), lambda header, sealed: None)
    forged = stage.signed(simulation.services["telecom-c"], "bank-a", payload)
    stage.deliver(simulation, "police-a", forged)
    assert not _taken(simulation)
    monkeypatch.setattr(verifying, "all_hold", lambda *_: True)
    stage.deliver(simulation, "police-a", forged)
    assert len(_taken(simulation)) == 1


def test_an_agency_cannot_send_what_is_not_its_to_send(simulation: Simulation, monkeypatch: Patch) -> None:
    """A notice that a telecom sends in its own name is refused by the receiver's policy."""

    def rename(header, _) -> None:
        own = simulation.nodes["bank-a"].parts.directory.member("telecom-c").signing_keys[0]
        header.sender, header.sender_key_id = "telecom-c", own.key_id
        header.grant_id, header.sequence = b"", 0

    def strip(header, sealed) -> None:
        rename(header, sealed)
        del sealed.boxes[:]
        sealed.inline_grant = b""

    payload = stage.rebuilt(stage.sealed_notice(simulation), strip)
    own = stage.signed(simulation.services["telecom-c"], "telecom-c", payload)
    stage.deliver(simulation, "police-a", own, sender="telecom-c")
    assert not _taken(simulation)
    later = stage.signed(
        simulation.services["telecom-c"],
        "telecom-c",
        stage.rebuilt(own, lambda header, _: setattr(header, "message_id", b"\x01" * 16)),
    )
    monkeypatch.setattr(Bundle, "decide", lambda *_: Decision(True, (), ""))
    stage.deliver(simulation, "police-a", later, sender="telecom-c")
    assert len(_taken(simulation)) == 1


def _opened(simulation: Simulation, message_id: bytes, actor: Actor, field_class: str) -> bool:
    statement = Statement("early_warning", "ATF18", stage.CASE)
    try:
        simulation.nodes["police-a"].opening.open(message_id, [field_class], actor, statement)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("actor", "field_class"),
    [
        (stage.INVESTIGATOR, "BALANCE"),
        (Actor("analyst-9", ("analyst",)), "ACCOUNT_ID"),
        (Actor("root", ("sysadmin",)), "ACCOUNT_ID"),
        (Actor("root", ("investigator", "sysadmin")), "ACCOUNT_ID"),
    ],
    ids=["another-stage", "another-role", "administrator", "administrator-in-another-role"],
)
def test_an_operator_can_do_only_what_policy_allows(
    simulation: Simulation, monkeypatch: Patch, actor: Actor, field_class: str
) -> None:
    """The balance at this stage, a role without the right, an administrator in any role: refused, by policy alone."""
    message_id = stage.send_notice(simulation)
    assert not _opened(simulation, message_id, actor, field_class)
    monkeypatch.setattr(Bundle, "decide", lambda *_: Decision(True, ("ANY-01",), ""))
    assert _opened(simulation, message_id, actor, field_class)


def test_a_node_that_does_not_ask_policy_opens_nothing(simulation: Simulation, monkeypatch: Patch) -> None:
    """A node whose own check was taken out still gets nothing: the key service decides again, and only without that too."""
    message_id = stage.send_notice(simulation)
    permit = Decision(True, ("ANY-01",), "")
    monkeypatch.setattr(type(simulation.nodes["police-a"].opening), "_refuse_or_pass", lambda *_: None)
    monkeypatch.setattr("bus.questions.first_denied", lambda _: permit)
    assert not _opened(simulation, message_id, stage.INVESTIGATOR, "BALANCE")
    monkeypatch.setattr(Bundle, "decide", lambda *_: permit)
    assert _opened(simulation, message_id, stage.INVESTIGATOR, "BALANCE")


def _found(directory: Path, planted: tuple[str, ...]) -> set[str]:
    """Return which values stand in a node's database and mirrors, in UTF-8 or GB18030."""
    held = b"".join(path.read_bytes() for path in directory.rglob("*.db*") if "keys" not in path.parts)
    return {value for value in planted if any(value.encode(code) in held for code in ("utf-8", "gb18030"))}


def test_a_stolen_database_yields_no_classed_value(simulation: Simulation, monkeypatch: Patch) -> None:
    """Bodies stay sealed, lineage and held-back rows are encrypted: whoever takes the database reads nothing classed."""
    planted = (*PLANTED, "6222029999999999999")
    draft = Draft(
        stage.notice(), ("police-a",), "normal", fingerprint=b"1" * 32, lineage="账号 6222029999999999999".encode()
    )
    simulation.nodes["bank-a"].outbound.send([draft], stage.ANALYST, stage.WARNING)
    simulation.run()
    message_id = _taken(simulation)[0].message_id
    assert _opened(simulation, message_id, stage.INVESTIGATOR, "ACCOUNT_ID")
    for agency in ("bank-a", "police-a"):
        simulation.nodes[agency].close()
        assert _found(simulation.federation.node(agency), planted) == set()
    monkeypatch.setattr(KeyService, "protect_all", lambda self, contexts, datas: list(datas))
    monkeypatch.setattr(boxes, "close", lambda key, compartment, place, plain: plain + bytes(16))
    again = replace(draft, fingerprint=b"2" * 32)
    simulation.nodes["bank-a"].outbound.send([again], stage.ANALYST, stage.WARNING)
    simulation.nodes["bank-a"].close()
    assert _found(simulation.federation.node("bank-a"), planted) == set(planted)


def test_the_centre_alone_substitutes_no_key(simulation: Simulation, monkeypatch: Patch) -> None:
    """A directory that the centre alone signed is refused: two different agencies must have signed it."""
    body = simulation.nodes["centre"].parts.directory
    document = _signed_by_centre_alone(simulation)
    with pytest.raises(DirectoryRefused):
        Directory.load(document, pinned=body, now_ms=simulation.clock.at_ms)
    monkeypatch.setattr(documents, "SIGNERS_NEEDED", 1)
    assert Directory.load(document, pinned=body, now_ms=simulation.clock.at_ms).serial == 2


def _signed_by_centre_alone(simulation: Simulation) -> bytes:
    from schemas.v1 import federation_pb2  # noqa: PLC0415

    old = federation_pb2.Directory.FromString((simulation.federation.node("centre") / "directory.bin").read_bytes())
    body = federation_pb2.DirectoryBody.FromString(old.body)
    body.serial, body.previous_sha256 = 2, simulation.nodes["centre"].parts.directory.sha256
    data = body.SerializeToString(deterministic=True)
    return enrolment.put_together("directory", data, [enrolment.sign(simulation.services["centre"], "directory", data)])


def test_the_centre_cannot_read_what_it_relays(simulation: Simulation, monkeypatch: Patch) -> None:
    """The centre gets the finding of a notice and no key for the rest: the sender's seal plan decides."""
    stage.send_notice(simulation, to=("centre", "police-a"))
    [row] = _taken(simulation, "centre")
    _, inspection = simulation.nodes["centre"].opening.look(row.message_id)
    assert set(inspection.classes) == {"CASE_META", "RISK"}
    monkeypatch.setattr(Bundle, "decide", lambda *_: Decision(True, (), ""))
    message_id = stage.send_notice(simulation, to=("centre", "police-a"))
    _, inspection = simulation.nodes["centre"].opening.look(message_id)
    assert {"ACCOUNT_ID", "IDENTITY", "BALANCE"} <= set(inspection.classes)


def test_a_suspended_member_is_heard_no_more(simulation: Simulation, monkeypatch: Patch) -> None:
    """A member that the directory in force has suspended sends nothing any more: its standing is looked up each time."""
    envelope = stage.sealed_notice(simulation)
    previous = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    body = enrolment.next_directory(previous, [], ["bank-a"], simulation.clock.at_ms)
    signatures = [enrolment.sign(simulation.services[name], "directory", body) for name in ("centre", "auditor")]
    simulation.nodes["police-a"].parts.directory = Directory.load(
        enrolment.put_together("directory", body, signatures),
        pinned=simulation.nodes["police-a"].parts.directory,
        now_ms=simulation.clock.at_ms,
    )
    stage.deliver(simulation, "police-a", envelope)
    assert not _taken(simulation)
    monkeypatch.setattr(Directory, "is_active", lambda self, agency: True)
    stage.deliver(simulation, "police-a", envelope)
    assert len(_taken(simulation)) == 1
