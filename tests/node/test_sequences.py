"""Numbers under a grant: a gap is recorded and never refused; what fills it, what comes twice."""

import pytest

from bus import health, sequences, store
from bus.sealing.envelope import MESSAGES_MAX, header_in_form
from bus.sequences import WINDOW, Window, after
from schemas.v1 import envelope_pb2
from tests.node import stage
from tests.sealing.attacker import sealed_of
from tests.simulator import Simulation


@pytest.mark.parametrize(
    ("numbers", "missing", "repeated"),
    [
        ([1, 2, 3], 0, 0),
        ([5], 4, 0),
        ([1, 4], 2, 0),
        ([1, 4, 3], 1, 0),
        ([1, 4, 3, 2], 0, 0),
        ([1, 1], 0, 1),
        ([1, 4, 4, 1], 2, 2),
        ([1, 1 + WINDOW, 2], WINDOW - 2, 0),
        ([2, 2 + WINDOW, 1], WINDOW, 0),
        ([1, MESSAGES_MAX], MESSAGES_MAX - 2, 0),
        ([1, MESSAGES_MAX, MESSAGES_MAX - 1], MESSAGES_MAX - 3, 0),
    ],
)
def test_what_is_missing_and_what_came_twice_is_counted(numbers: list[int], missing: int, repeated: int) -> None:
    """Numbers in whatever order leave as many missing as did not come, within a window; a number again is a repeat."""
    window = Window()
    for number in numbers:
        window = after(window, number)
    assert (window.missing, window.repeated) == (missing, repeated)
    assert 0 <= window.came < 1 << WINDOW


def _report(simulation: Simulation) -> tuple[dict[str, int], dict[str, int]]:
    found = health.report(simulation.nodes["police-a"].parts, {})
    return found["gaps"], found["repeated_numbers"]


def test_a_message_that_does_not_come_shows_as_a_gap_and_the_next_is_taken(simulation: Simulation) -> None:
    """The broker drops the second of three messages: the third is taken, and the receiver's node says that one is missing."""
    envelopes = [stage.sealed_notice(simulation) for _ in range(3)]
    for envelope in (envelopes[0], envelopes[2]):
        stage.deliver(simulation, "police-a", envelope)
    assert len(_taken(simulation)) == 2
    assert _report(simulation) == ({}, {}), "it may be on its way still"
    simulation.clock.advance(sequences.GAP_WAIT_MS + 1)
    assert _report(simulation) == ({"bank-a": 1}, {})
    stage.deliver(simulation, "police-a", envelopes[1])
    simulation.clock.advance(sequences.GAP_WAIT_MS + 1)
    assert _report(simulation) == ({}, {})


def _taken(simulation: Simulation) -> list[bytes]:
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        return [row.message_id for row in connection.execute(store.inbox.select()) if row.outcome == "ACCEPTED"]


def test_the_same_message_again_is_no_number_twice(simulation: Simulation) -> None:
    """A message that the broker brings again, in another batch or in the same, is not counted as a repeated number."""
    envelope = stage.sealed_notice(simulation)
    for _ in range(3):
        stage.deliver(simulation, "police-a", envelope)
    assert _report(simulation) == ({}, {})


def test_a_number_under_two_message_ids_is_recorded(simulation: Simulation) -> None:
    """A sender whose keys were restored, or stolen, repeats a number: its message is judged as ever, and the node says so."""
    first, second = stage.sealed_notice(simulation), stage.sealed_notice(simulation)
    stage.deliver(simulation, "police-a", first)
    number = envelope_pb2.Header.FromString(sealed_of(first).header).sequence

    def repeat(header: envelope_pb2.Header, _: envelope_pb2.Sealed) -> None:
        header.sequence = number

    forged = stage.signed(simulation.services["bank-a"], "bank-a", stage.rebuilt(second, repeat))
    stage.deliver(simulation, "police-a", forged)
    assert _report(simulation)[1] == {"bank-a": 1}


def test_a_grant_is_worn_out_at_the_receiver_too(simulation: Simulation) -> None:
    """The last number that class keys are for is in form, the next is not: no sender wears a key out past it."""
    header = envelope_pb2.Header.FromString(sealed_of(stage.sealed_notice(simulation)).header)
    for number, in_form in ((MESSAGES_MAX, True), (MESSAGES_MAX + 1, False)):
        header.sequence = number
        assert header_in_form(header) is in_form
