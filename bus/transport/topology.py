r"""The broker's names, rights and limits as data, and the definitions that any RabbitMQ from 3.10 to 4.x boots with.

- One topic exchange per sender, bound straight to the receivers' queues: a shared exchange, or a second hop, lets any
  agency forge sender or destination with a CC header (measured on 3.10.8, 4.0.5 and 4.3.6).
- An agency may configure nothing, write to its own exchange with keys that begin with its own name, and read its own
  queues. The default exchange stands in no right.
- Regular expressions end in `\z`: `$` and `\Z` also match before a final newline.
- Every queue is a bounded quorum queue that refuses when full: back-pressure instead of loss, and no agency can fill
  the disk for all.

Nothing here speaks to a broker, and nothing here knows pika.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bus.errors import Usage
from bus.transport import LANES, Outgoing
from schemas import registry

VIRTUAL_HOST = "bus"
DEAD_LETTER_EXCHANGE = "x.dlx"
ADMINISTRATOR = "bus-admin"

AGENCY_LENGTH_MAX = 32
MESSAGE_BYTES_MAX = 1024 * 1024
DELIVERY_LIMIT = 20
"""Deliveries of one message that may end in a lost connection before it goes to the dead-letter queue."""

USER_CONNECTIONS_MAX = 12
"""Five are used at a time; a broken one may linger until its heartbeat is missed."""

USER_CHANNELS_MAX = 64
HOST_CONNECTIONS_MAX = 500
HOST_QUEUES_MAX = 4_000

QUEUE_LIMITS = {
    "urgent": (10_000, 64 * 1024 * 1024),
    "normal": (50_000, 128 * 1024 * 1024),
    "bulk": (200_000, 512 * 1024 * 1024),
}
"""Messages and bytes that may wait in one queue, by lane. The broker counts softly: a few more may get in."""

DEAD_LETTER_LIMITS = (10_000, 64 * 1024 * 1024)

_AGENCY = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_WORD = r"[a-z][a-z0-9-]{0,62}"
_KEY = re.compile(
    rf"(?P<sender>{_WORD})\.(?P<recipient>{_WORD})\.(?P<lane>{'|'.join(LANES)})\.(?P<type>{_WORD})\.v(?P<version>[0-9]{{1,3}})"
)
_DISCONNECTED_TIMEOUT_SINCE = (4, 3)
_KEYS_REMEMBERED = 4096
"""The same few keys come again and again; taking one apart costs as much as all else that is done with a delivery."""


@dataclass(frozen=True)
class Key:
    """A routing key, taken apart."""

    sender: str
    recipient: str
    lane: str
    type_short: str
    version: int


@dataclass(frozen=True)
class Topology:
    """Who is on the bus and who may send to whom. `links` is (sender, recipient, lane); None is everybody to everybody."""

    agencies: tuple[str, ...]
    links: frozenset[tuple[str, str, str]] | None = None

    def __post_init__(self) -> None:
        for agency in self.agencies:
            check_agency(agency)
        if len(set(self.agencies)) != len(self.agencies):
            raise Usage("an agency is named twice", cure="name each agency once", code="LF-TOPOLOGY-TWICE")
        strangers = {name for link in self.links or () for name in link[:2]} - set(self.agencies)
        lanes = {lane for _, _, lane in self.links or ()} - set(LANES)
        if strangers or lanes:
            raise Usage(
                f"a link names what the topology does not have: {', '.join(sorted(strangers | lanes))}",
                cure="name agencies of the topology, and the lanes urgent, normal or bulk",
                code="LF-TOPOLOGY-LINK",
            )

    def permitted(self) -> list[tuple[str, str, str]]:
        """Return every permitted (sender, recipient, lane), in order. Nobody sends to itself."""
        if self.links is not None:
            return sorted(self.links)
        return [
            (sender, recipient, lane)
            for sender in self.agencies
            for recipient in self.agencies
            if sender != recipient
            for lane in LANES
        ]

    def disk_bytes_max(self) -> int:
        """Return what all queues together may hold; keep it under the disk less the broker's free limit."""
        per_agency = sum(size for _, size in QUEUE_LIMITS.values()) + DEAD_LETTER_LIMITS[1]
        return per_agency * len(self.agencies)


def check_agency(name: str) -> str:
    """Return `name` when it is an agency's: lower case, digits and single hyphens, at most 32. Usage otherwise.

    No dots: the rights of `police` would match the queues of `police.a`.
    """
    if len(name) > AGENCY_LENGTH_MAX or not _AGENCY.fullmatch(name):
        raise Usage(
            f"{name!r} is not an agency's name",
            cure="lower-case letters and digits, single hyphens between, at most 32: police-a",
            code="LF-TOPOLOGY-AGENCY",
        )
    return name


def out_exchange(agency: str) -> str:
    """Return the exchange that only `agency` may publish to; whoever gets a message sees it, by the broker's word."""
    return f"x.out.{agency}"


def in_queue(agency: str, lane: str) -> str:
    """Return the queue that only `agency` may read."""
    return f"q.in.{agency}.{lane}"


def dead_letter_queue(agency: str) -> str:
    """Return the queue of messages to `agency` that could not be taken in `DELIVERY_LIMIT` deliveries."""
    return f"q.dlq.{agency}"


def routing_key(message: Outgoing) -> str:
    """Return the key that a message travels under: sender.recipient.lane.type.vN."""
    return f"{message.sender}.{message.recipient}.{message.lane}.{_kind(message.type_name)}.v{message.type_version}"


@lru_cache(maxsize=_KEYS_REMEMBERED)
def _kind(type_name: str) -> str:
    return registry.short_name(type_name)


@lru_cache(maxsize=_KEYS_REMEMBERED)
def parse_key(key: str) -> Key | None:
    """Take a routing key apart; None when it does not follow the grammar."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    return Key(match["sender"], match["recipient"], match["lane"], match["type"], int(match["version"]))


def write_pattern(agency: str) -> str:
    """Return the expression of exchanges that an agency may publish to."""
    return rf"^x\.out\.{re.escape(agency)}\z"


def read_pattern(agency: str) -> str:
    """Return the expression of queues that an agency may consume from."""
    name = re.escape(agency)
    return rf"^q\.(in\.{name}\.({'|'.join(LANES)})|dlq\.{name})\z"


def key_pattern(agency: str) -> str:
    """Return the expression of routing keys that an agency may publish with."""
    return rf"^{re.escape(agency)}\.{_WORD}\.({'|'.join(LANES)})\.{_WORD}\.v[0-9]{{1,3}}\z"


def definitions(
    topology: Topology, administrator_hash: str = "", version: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Return what RabbitMQ's `load_definitions` and `POST /api/definitions` take.

    `administrator_hash` makes the management user; without it there is none. `version` adds what only newer brokers
    know (3.10 refuses such keys); without it the result suits every version.
    """
    return {
        "vhosts": [{"name": VIRTUAL_HOST}],
        "users": list(_users(topology, administrator_hash)),
        "permissions": list(_permissions(topology, administrator_hash)),
        "topic_permissions": [_topic_permission(agency) for agency in topology.agencies],
        "exchanges": list(_exchanges(topology)),
        "queues": list(_queues(topology)),
        "bindings": list(_bindings(topology)),
        "parameters": [
            {
                "vhost": VIRTUAL_HOST,
                "component": "vhost-limits",
                "name": "limits",
                "value": {"max-connections": HOST_CONNECTIONS_MAX, "max-queues": HOST_QUEUES_MAX},
            }
        ],
        "policies": _policies(version),
    }


def definitions_json(topology: Topology, administrator_hash: str = "", version: tuple[int, int] | None = None) -> str:
    """Return the definitions as the text of a file, the same for the same topology."""
    return json.dumps(definitions(topology, administrator_hash, version), indent=1, sort_keys=True) + "\n"


def _users(topology: Topology, administrator_hash: str) -> Iterable[dict[str, Any]]:
    for agency in topology.agencies:
        yield {
            "name": agency,
            "password_hash": "",  # no password opens it: the certificate does
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": [],
            "limits": {"max-connections": USER_CONNECTIONS_MAX, "max-channels": USER_CHANNELS_MAX},
        }
    if administrator_hash:
        yield {
            "name": ADMINISTRATOR,
            "password_hash": administrator_hash,
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"],
            "limits": {},
        }


def _permissions(topology: Topology, administrator_hash: str) -> Iterable[dict[str, Any]]:
    for agency in topology.agencies:
        yield {
            "user": agency,
            "vhost": VIRTUAL_HOST,
            "configure": "^$",
            "write": write_pattern(agency),
            "read": read_pattern(agency),
        }
    if administrator_hash:
        yield {"user": ADMINISTRATOR, "vhost": VIRTUAL_HOST, "configure": "^$", "write": "^$", "read": "^$"}


def _topic_permission(agency: str) -> dict[str, Any]:
    # Without one, an exchange that may be written takes every key.
    return {
        "user": agency,
        "vhost": VIRTUAL_HOST,
        "exchange": out_exchange(agency),
        "write": key_pattern(agency),
        "read": "^$",
    }


def _exchanges(topology: Topology) -> Iterable[dict[str, Any]]:
    common = {"vhost": VIRTUAL_HOST, "durable": True, "auto_delete": False, "arguments": {}}
    for agency in topology.agencies:
        yield {"name": out_exchange(agency), "type": "topic", "internal": False, **common}
    yield {"name": DEAD_LETTER_EXCHANGE, "type": "direct", "internal": True, **common}


def _queues(topology: Topology) -> Iterable[dict[str, Any]]:
    for agency in topology.agencies:
        for lane in LANES:
            dead_letter = {
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
                "x-dead-letter-routing-key": agency,
                "x-dead-letter-strategy": "at-least-once",
            }
            yield _queue(in_queue(agency, lane), QUEUE_LIMITS[lane], dead_letter)
        yield _queue(dead_letter_queue(agency), DEAD_LETTER_LIMITS, {})


def _queue(name: str, limits: tuple[int, int], arguments: dict[str, Any]) -> dict[str, Any]:
    messages_max, bytes_max = limits
    return {
        "name": name,
        "vhost": VIRTUAL_HOST,
        "durable": True,
        "auto_delete": False,
        "arguments": {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-max-length": messages_max,
            "x-max-length-bytes": bytes_max,
            **arguments,
        },
    }


def _bindings(topology: Topology) -> Iterable[dict[str, Any]]:
    common = {"vhost": VIRTUAL_HOST, "destination_type": "queue", "arguments": {}}
    for sender, recipient, lane in topology.permitted():
        yield {
            "source": out_exchange(sender),
            "destination": in_queue(recipient, lane),
            "routing_key": f"{sender}.{recipient}.{lane}.*.*",
            **common,
        }
    for agency in topology.agencies:
        yield {
            "source": DEAD_LETTER_EXCHANGE,
            "destination": dead_letter_queue(agency),
            "routing_key": agency,
            **common,
        }


def _policies(version: tuple[int, int] | None) -> list[dict[str, Any]]:
    if version is None or version < _DISCONNECTED_TIMEOUT_SINCE:
        return []
    # 4.3 keeps what a consumer had in hand for 60 s when its node dies; a freeze has ten minutes in all.
    return [
        {
            "vhost": VIRTUAL_HOST,
            "name": "release-soon",
            "pattern": r"^q\.in\.",
            "apply-to": "queues",
            "priority": 0,
            "definition": {"consumer-disconnected-timeout": 5_000},
        }
    ]
