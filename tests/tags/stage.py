"""What the tests of match tags play with: a federation with two authorities, reports that speak of one phone, tools to look."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bus.node import Seams
from bus.outbound import Draft, Outcome, Sent
from bus.parts import Actor, Statement
from bus.tags.settings import MATCHER
from bus.tags.tables import tag_batches
from bus.transport import Outgoing
from deploy.demo.federation import AGENCIES, make_federation
from schemas.v1 import common_pb2, match_pb2, notice_pb2, number_pb2
from tests.simulator import SeededRandomness, SimulatedClock, Simulation

TAGS = '\n[tags]\nauthorities = ["auditor", "centre"]\nhourly_max = 40\ndaily_max = 60\n'
ANALYST, INVESTIGATOR = Actor("analyst-1", ("analyst",)), Actor("investigator-1", ("investigator",))
KEY_OFFICER, ADMINISTRATOR = Actor("officer-1", ("key_officer",)), Actor("admin-1", ("analyst", "sysadmin"))
SUSPECT, WARN = Statement("early_warning", "ATF18"), Statement("early_warning", "ATF26")


CHOSEN = {name: AGENCIES[name] for name in ("auditor", "bank-a", "bank-b", "centre", "platform-d", "police-a")}
"""As few as the story needs: every node costs each test its start."""


@dataclass
class Wire:
    """Keeps what the broker carried."""

    bodies: list[tuple[str, str, bytes]] = field(default_factory=list)

    def carry(self, message: Outgoing) -> None:
        """Note a message; nothing goes wrong with it."""
        self.bodies.append((message.recipient, message.type_name, message.body))


def prepare(directory: Path) -> None:
    """Make the federation once; tests copy it."""
    make_federation(
        directory,
        transport="memory",
        agencies=CHOSEN,
        seams=Seams(SimulatedClock(), SeededRandomness("federation")),
        extra_toml=lambda _: TAGS,
    )


def phone(number: int) -> str:
    """Return a phone of one test's own."""
    return f"+861380013{number:04d}"


def account(number: int) -> str:
    """Return an account of one test's own."""
    return f"622202020001{number:07d}"


def notice(number: int, spelling: str = "") -> notice_pb2.SuspiciousAccountNotice:
    """A notice on an account and its holder's phone."""
    return notice_pb2.SuspiciousAccountNotice(
        account=common_pb2.AccountRef(scheme="CARD", number=account(number)),
        holder=common_pb2.PersonRef(name="王小明"),
        holder_phone=common_pb2.PhoneRef(
            e164=phone(number), raw=spelling or phone(number), kind=common_pb2.PHONE_KIND_E164
        ),
        features=[common_pb2.CodedValue(scheme="bank-a.feature", code="F01")],
    )


def many(first: int, count: int) -> notice_pb2.SuspiciousAccountNotice:
    """A notice on an account and many more that money went to: count values in all."""
    made = notice_pb2.SuspiciousAccountNotice(
        account=common_pb2.AccountRef(scheme="CARD", number=account(first)),
        features=[common_pb2.CodedValue(scheme="bank-a.feature", code="F01")],
    )
    for number in range(1, count):
        made.next_hops.add(scheme="CARD", number=account(first + number))
    return made


def report(number: int, spelling: str = "") -> number_pb2.FraudNumberReport:
    """A platform's report on a number."""
    return number_pb2.FraudNumberReport(
        number=common_pb2.PhoneRef(e164=phone(number), raw=spelling or phone(number), kind=common_pb2.PHONE_KIND_E164)
    )


def send(
    simulation: Simulation,
    agency: str,
    message: Any,
    to: tuple[str, ...] = ("police-a",),
    statement: Statement = SUSPECT,
) -> bytes:
    """Send a message from an agency through what gives it tags, let everything come to rest, return its id."""
    outcome = ask(simulation, agency, message, to, statement)
    assert isinstance(outcome, Sent), outcome
    simulation.run()
    return outcome.message_id


def ask(
    simulation: Simulation, agency: str, message: Any, to: tuple[str, ...], statement: Statement = SUSPECT
) -> Outcome:
    """Hand a message to what gives it tags, and let nothing move yet."""
    return simulation.nodes[agency].tags.send([Draft(message, to, "normal")], ANALYST, statement)[0]


def tags_of(simulation: Simulation, agency: str, message_id: bytes) -> Sequence[match_pb2.MatchTag]:
    """Open a received message's tags, as the service that compares them."""
    opened = simulation.nodes[agency].opening.open(message_id, ("MATCH_TAG",), MATCHER, WARN)
    return list(opened.message.match_tags)  # type: ignore[attr-defined]  # the types that the tests send have it


def has_tags(simulation: Simulation, agency: str, message_id: bytes) -> bool:
    """Say whether a received message has tags for an agency."""
    _, inspection = simulation.nodes[agency].opening.look(message_id)
    return "MATCH_TAG" in inspection.classes


def matched(simulation: Simulation, agency: str, actor: Actor, message_id: bytes) -> set[tuple[str, str]]:
    """Return (kind, message id) of what an actor sees to agree with a message."""
    groups = simulation.nodes[agency].tags.matches.listing(actor, WARN, 50)
    return {
        (found["kind"], other["message_id"])
        for found in groups
        if message_id.hex() in [row["message_id"] for row in found["messages"]]
        for other in found["messages"]
        if other["message_id"] != message_id.hex()
    }


def batches(simulation: Simulation, agency: str) -> list[tuple[str, str]]:
    """Return state and code of what an agency asked tags for, oldest first."""
    with simulation.nodes[agency].parts.engine.connect() as connection:
        rows = connection.execute(select(tag_batches).order_by(tag_batches.c.created_ms))
        return [(row.state, row.code) for row in rows]
