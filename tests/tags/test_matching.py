"""Two agencies report the same number; who may match sees it, nobody else does, and nothing on the way shows it."""

from bus.outbound import Sent
from tests.simulator import Simulation
from tests.tags.stage import ANALYST, SUSPECT, WARN, notice, report, send


def test_two_reports_of_one_phone_meet(simulation: Simulation) -> None:
    """A bank's notice and a platform's report on the same phone, written otherwise, are one group at the police."""
    first = send(simulation, "bank-a", notice(), ("police-a", "bank-b"), SUSPECT)
    second = send(simulation, "platform-d", report(), ("police-a", "telecom-c"), WARN)
    assert isinstance(first, Sent)
    assert isinstance(second, Sent)
    matches = simulation.nodes["police-a"].tags.matches.listing(
        type(ANALYST)("investigator-1", ("investigator",)), WARN, 50
    )
    assert [found["kind"] for found in matches] == ["phone"]
