"""What the tests of match tags play with: a federation with two authorities, its spelling of one phone, and tools to look."""

from pathlib import Path

from sqlalchemy import select

from bus.node import Seams
from bus.outbound import Draft, Outcome
from bus.parts import Actor, Statement
from bus.tags.tables import tag_batches
from deploy.demo.federation import AGENCIES, make_federation
from schemas.v1 import common_pb2, notice_pb2, number_pb2
from tests.simulator import SeededRandomness, SimulatedClock, Simulation

TAGS = '\n[tags]\nauthorities = ["auditor", "centre"]\nhourly_max = 40\ndaily_max = 60\n'
ANALYST = Actor("analyst-1", ("analyst",))
SUSPECT, WARN = Statement("early_warning", "ATF18"), Statement("early_warning", "ATF26")
PHONE = "+8613800138000"
ACCOUNT = "6222020200012345678"


def prepare(directory: Path) -> None:
    """Make the federation once; tests copy it."""
    make_federation(
        directory,
        transport="memory",
        agencies=AGENCIES,
        seams=Seams(SimulatedClock(), SeededRandomness("federation")),
        extra_toml=lambda _: TAGS,
    )


def notice(account: str = ACCOUNT, phone: str = PHONE) -> notice_pb2.SuspiciousAccountNotice:
    """A notice on an account and its holder's phone."""
    return notice_pb2.SuspiciousAccountNotice(
        account=common_pb2.AccountRef(scheme="CARD", number=account),
        holder=common_pb2.PersonRef(name="王小明"),
        holder_phone=common_pb2.PhoneRef(e164=phone, raw=phone, kind=common_pb2.PHONE_KIND_E164),
        features=[common_pb2.CodedValue(scheme="bank-a.feature", code="F01")],
    )


def report(phone: str = PHONE, raw: str = "138 0013 8000") -> number_pb2.FraudNumberReport:
    """A platform's report on a number."""
    return number_pb2.FraudNumberReport(
        number=common_pb2.PhoneRef(e164=phone, raw=raw, kind=common_pb2.PHONE_KIND_E164)
    )


def send(simulation: Simulation, agency: str, message: object, to: tuple[str, ...], statement: Statement) -> Outcome:
    """Send a message from an agency through what gives it tags, and let everything come to rest."""
    draft = Draft(message, to, "normal")  # type: ignore[arg-type]  # a protobuf message
    outcome = simulation.nodes[agency].tags.send([draft], ANALYST, statement)[0]
    simulation.run()
    return outcome


def batches(simulation: Simulation, agency: str) -> list[tuple[str, str]]:
    """Return state and code of what an agency asked tags for, oldest first."""
    with simulation.nodes[agency].parts.engine.connect() as connection:
        rows = connection.execute(select(tag_batches).order_by(tag_batches.c.created_ms, tag_batches.c.batch_id))
        return [(row.state, row.code) for row in rows]
