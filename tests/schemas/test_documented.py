"""docs/messages.md says of every type what it is, who may send it to whom and for what: as the .proto and the rows say."""

import re
from pathlib import Path

from bus.intake import LANE_OF
from bus.policy.files import ANY
from bus.policy.vocabulary import message_classes
from schemas import registry
from tests.policy.federation import bundle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "messages.md").read_text()


def says(name: str) -> str:
    """Return the comment on a type, from its .proto."""
    source = (ROOT / registry.descriptor_of(name).file.name).read_text()
    comment = re.search(rf"((?://.*\n)+)message {name} {{", source)
    assert comment is not None
    text = " ".join(line.removeprefix("//").strip() for line in comment[1].splitlines())
    return text.removeprefix(f"{name} ").rstrip(".")


def row(name: str) -> str:
    """Return the line of a type: what it is, senders → recipients, purposes, lane."""
    seals = [
        rule
        for rule in bundle().rules
        if rule.effect == "permit" and "seal" in rule.actions and name in (rule.messages or ())
    ]

    def words(column: str) -> str:
        given = [getattr(rule, column) for rule in seals]
        if ANY in given:
            return "any"
        return ", ".join(sorted({word for value in given for word in value}))

    way = f"{words('sender_types')} → {words('agency_types')}" if seals else "not sealed"
    return f"| {name} | {says(name)} | {way} | {words('purposes')} | {LANE_OF.get(name, '')} |"


def test_every_type_is_documented() -> None:
    """The page has the line of every type, as its .proto, the example rows and the lanes have it, and no other line."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\| [A-Z]", line)]
    assert lines == [row(name) for name in sorted(message_classes())]
