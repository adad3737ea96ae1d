"""An attacker with a valid certificate, two victims, and the ways in which a broker says no."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.credentials import ExternalCredentials

from deploy.local.broker import LocalBroker
from deploy.local.certificates import Identity

ALLOWED = "allowed"
KIND = "stop-payment-order.v1"


@dataclass(frozen=True)
class Scene:
    """Who is on the broker. `attacker` is an agency like the others; it has its own certificate and no more."""

    broker: LocalBroker
    attacker: str
    victim: str
    other: str

    def key(self, sender: str, recipient: str, lane: str = "urgent") -> str:
        """Return a routing key."""
        return f"{sender}.{recipient}.{lane}.{KIND}"


Attack = Callable[[BlockingChannel, Scene], object]


def context(identity: Identity | None, authority: Path) -> ssl.SSLContext:
    """Return a client's TLS context, with or without a certificate."""
    made = ssl.create_default_context(cafile=str(authority))
    if identity is not None:
        made.load_cert_chain(identity.certificate, identity.key)
    return made


def parameters(
    broker: LocalBroker, identity: Identity, virtual_host: str = "bus", credentials: object = None
) -> pika.ConnectionParameters:
    """Return how to connect with an identity."""
    return pika.ConnectionParameters(
        host="127.0.0.1",
        port=broker.status()["ports"]["amqps"],
        virtual_host=virtual_host,
        credentials=credentials or ExternalCredentials(),
        ssl_options=pika.SSLOptions(context(identity, identity.authority), "localhost"),
        socket_timeout=5,
        stack_timeout=10,
    )


@contextmanager
def connected(broker: LocalBroker, agency: str) -> Iterator[BlockingConnection]:
    """Connect as an agency."""
    connection = BlockingConnection(parameters(broker, broker.authority().agency(agency)))
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def outcome(connection: BlockingConnection, scene: Scene, attack: Attack) -> str:
    """Try an attack on a channel of its own; return "allowed", "returned", or the code with which the broker refused."""
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        attack(channel, scene)
    except pika.exceptions.UnroutableError:
        return "returned"
    except pika.exceptions.ChannelClosedByBroker as error:
        return str(error.reply_code)
    channel.close()
    return ALLOWED
