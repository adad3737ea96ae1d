"""The wire form of a message: what stands around the envelope, and what is wrong when it does not hold.

- The exchange is the broker's word for who sent it; a routing key, a user id or a header may be the sender's invention.
- A CC header delivers a copy along another permitted binding, under a key that names the first receiver. So the key must
  name this receiver and this lane; a BCC header is invisible, and only that check catches it.
- Headers follow CloudEvents' names; nothing in them says more than sender, type and id, which the key says too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bus import limits
from bus.transport import Delivery, Outgoing
from bus.transport.topology import Key, out_exchange, parse_key

_OUT = out_exchange("")


@dataclass(frozen=True)
class Arrival:
    """One message as the broker hands it over."""

    exchange: str
    routing_key: str
    user_id: str | None
    headers: Mapping[str, Any]
    body: bytes


def headers(message: Outgoing, message_id: str) -> dict[str, str]:
    """Return the headers of a message (CloudEvents 1.0: id, source, type). No personal data, nothing that is believed."""
    return {
        "ce-specversion": "1.0",
        "ce-id": message_id,
        "ce-source": message.sender,
        "ce-type": message.type_name,
    }


def text_id(message: Outgoing) -> str:
    """Return the message id as text."""
    return str(UUID(bytes=message.message_id)) if len(message.message_id) == 16 else message.message_id.hex()  # noqa: PLR2004 - a UUID's length


def examine(agency: str, lane: str, arrival: Arrival) -> Delivery:
    """Return the delivery to `agency`'s lane, with the first thing that is wrong with it as its fault.

    LF-WIRE-EXCHANGE (not from a sender's exchange), LF-WIRE-KEY (not of the grammar), LF-WIRE-SENDER (key and exchange
    disagree), LF-WIRE-RECIPIENT and LF-WIRE-LANE (not ours: a copy), LF-WIRE-USER (no user id, or another's), LF-WIRE-CC,
    LF-WIRE-SIZE.
    """
    sender = arrival.exchange.removeprefix(_OUT) if arrival.exchange.startswith(_OUT) else ""
    key = parse_key(arrival.routing_key)
    return Delivery(
        sender=sender,
        lane=lane,
        type_short=key.type_short if key else "",
        body=arrival.body,
        fault=_fault((agency, lane), sender, key, arrival),
    )


def _fault(ours: tuple[str, str], sender: str, key: Key | None, arrival: Arrival) -> str:
    if not sender:
        return "LF-WIRE-EXCHANGE"
    if key is None:
        return "LF-WIRE-KEY"
    if key.sender != sender:
        return "LF-WIRE-SENDER"
    if key.recipient != ours[0]:
        return "LF-WIRE-RECIPIENT"
    if key.lane != ours[1]:
        return "LF-WIRE-LANE"
    if arrival.user_id != sender:
        return "LF-WIRE-USER"
    if "CC" in arrival.headers or "BCC" in arrival.headers:
        return "LF-WIRE-CC"
    return "LF-WIRE-SIZE" if len(arrival.body) > limits.ENVELOPE_BYTES_MAX else ""
