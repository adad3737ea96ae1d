"""What went wrong between us and the broker, in words: code, cause and cure for everything that pika can raise.

pika wraps the cause in its connection attempt's history, and hides a refused certificate behind "incompatible protocol"
(TLS 1.3 tells the client only after its own side is done). So the innermost errors are looked at first.
"""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

_LOOK_AT_BROKER = "look whether the broker runs: `lianfang broker status`"
_WAIT = "nothing needs to be done: the connection is made again and nothing is lost"
_REPORT = "report it: the transport has used the client library wrongly"


@dataclass(frozen=True)
class Trouble:
    """Why the transport is not connected, for logs and health."""

    code: str
    cause: str
    cure: str


_LOST = Trouble("LF-BROKER-LOST", "the connection to the broker broke", _WAIT)
_DOWN = Trouble("LF-BROKER-DOWN", "the broker does not answer", _LOOK_AT_BROKER)
_CLOSED = Trouble("LF-BROKER-CLOSED", "the broker closed the connection", _WAIT)
_CHANNEL = Trouble(
    "LF-BROKER-CHANNEL",
    "the broker closed the channel: a right or a queue is missing",
    "compare its definitions with the topology: `lianfang broker start` makes what is missing",
)
_LOGIN = Trouble(
    "LF-BROKER-LOGIN",
    "the broker does not know the agency that our certificate names",
    "add the agency to the broker's topology, or use the certificate that was issued for it",
)
_PROTOCOL = Trouble(
    "LF-BROKER-PROTOCOL",
    "what answers does not speak AMQP 0-9-1 as expected",
    "look whether host and port are the broker's AMQPS listener",
)
_OURS = Trouble("LF-BROKER-CLIENT", "the client library was used in a state that does not allow it", _REPORT)
_ENDED = Trouble("LF-BROKER-ENDED", "the connection was ended by us", "nothing needs to be done")

REFUSED = Trouble(
    "LF-TLS-REFUSED",
    "the broker refused our certificate",
    "look at its expiry, at the revocation list and at who issued it; get a new one from the bus's authority",
)
SERVER_UNKNOWN = Trouble(
    "LF-TLS-SERVER",
    "the broker's certificate is not one that we trust",
    "look whether ca_file is the bus's authority and host the name in the broker's certificate",
)
TLS_BROKEN = Trouble(
    "LF-TLS-HANDSHAKE",
    "no secure connection came about",
    "look whether the port is the broker's AMQPS listener, and at its log",
)
FILES = Trouble(
    "LF-TLS-FILES",
    "our certificate, its key or the authority's certificate cannot be read",
    "look at ca_file, certificate_file and key_file in node.toml",
)
STALLED = Trouble("LF-BROKER-STALLED", "the broker confirmed nothing for too long", _WAIT)

BY_NAME = {
    "AMQPError": _LOST,
    "AMQPConnectionError": _DOWN,
    "ConnectionOpenAborted": _DOWN,
    "StreamLostError": _LOST,
    "IncompatibleProtocolError": _PROTOCOL,
    "AuthenticationError": _LOGIN,
    "ProbableAuthenticationError": _LOGIN,
    "ProbableAccessDeniedError": Trouble(
        "LF-BROKER-HOST",
        "the broker does not let us into its virtual host",
        "look at virtual_host in node.toml, and at the agency's permissions",
    ),
    "NoFreeChannels": _OURS,
    "ConnectionWrongStateError": _OURS,
    "ConnectionClosed": _CLOSED,
    "ConnectionClosedByBroker": _CLOSED,
    "ConnectionClosedByClient": _ENDED,
    "ConnectionBlockedTimeout": Trouble(
        "LF-BROKER-BLOCKED",
        "the broker takes nothing: its memory or disk is full",
        "free memory or disk on the broker's machine",
    ),
    "AMQPHeartbeatTimeout": _LOST,
    "AMQPChannelError": _CHANNEL,
    "ChannelWrongStateError": _OURS,
    "ChannelClosed": _CHANNEL,
    "ChannelClosedByBroker": _CHANNEL,
    "ChannelClosedByClient": _ENDED,
    "DuplicateConsumerTag": _OURS,
    "ConsumerCancelled": _CHANNEL,
    "UnroutableError": Trouble(
        "LF-BROKER-UNROUTABLE",
        "nobody is bound to receive this message",
        "add the recipient, or the permission to send to it, to the broker's topology",
    ),
    "NackError": Trouble("LF-BROKER-NACK", "the broker did not take a message: the receiver's queue is full", _WAIT),
    "InvalidChannelNumber": _OURS,
    "ProtocolSyntaxError": _PROTOCOL,
    "UnexpectedFrameError": _PROTOCOL,
    "ProtocolVersionMismatch": _PROTOCOL,
    "BodyTooLongError": _PROTOCOL,
    "InvalidFrameError": _PROTOCOL,
    "InvalidFieldTypeException": _OURS,
    "UnsupportedAMQPFieldException": _PROTOCOL,
    "MethodNotImplemented": _PROTOCOL,
    "ChannelError": _OURS,
    "ReentrancyError": _OURS,
    "ShortStringTooLong": _OURS,
    "DuplicateGetOkCallback": _OURS,
    "AMQPConnectorException": _DOWN,
    "AMQPConnectorStackTimeout": _DOWN,
    "AMQPConnectorAborted": _ENDED,
    "AMQPConnectorWrongState": _OURS,
    "AMQPConnectorPhaseErrorBase": _DOWN,
    "AMQPConnectorSocketConnectError": _DOWN,
    "AMQPConnectorTransportSetupError": TLS_BROKEN,
    "AMQPConnectorAMQPHandshakeError": _PROTOCOL,
    "AMQPConnectionWorkflowAborted": _ENDED,
    "AMQPConnectionWorkflowWrongState": _OURS,
    "AMQPConnectionWorkflowFailed": _DOWN,
}
"""Every exception class of pika by name, so that this module needs no pika."""


def explain(error: BaseException) -> Trouble:
    """Return what an error of pika, ssl or the socket means. Never raises; an unknown one is a lost connection."""
    chain = list(_innermost_first(error))
    for part in chain:
        found = _tls(part)
        if found is not None:
            return found
    for part in chain:
        if isinstance(part, (ConnectionRefusedError, socket.gaierror, TimeoutError)):
            return _DOWN
        found = BY_NAME.get(type(part).__name__)
        if found is not None:
            return found
    return _LOST


def _tls(error: BaseException) -> Trouble | None:
    # pika passes the cause of a TLS 1.3 refusal on as text only.
    text = str(error).lower()
    if isinstance(error, ssl.SSLCertVerificationError) or "certificate_verify_failed" in text:
        return SERVER_UNKNOWN
    if "alert" in text and ("certificate" in text or "unknown ca" in text or "unknown_ca" in text):
        return REFUSED
    if "sslv3_alert_handshake_failure" in text or "alert_handshake_failure" in text:
        return REFUSED
    if type(error).__name__ == "IncompatibleProtocolError" and "streamlosterror" in text:
        return REFUSED  # hung up on before a word of AMQP: the reset has outrun the alert
    return TLS_BROKEN if isinstance(error, ssl.SSLError) else None


def _innermost_first(error: BaseException) -> Iterator[BaseException]:
    for name in ("exceptions", "exception"):
        inner = getattr(error, name, None)
        for part in reversed(inner) if isinstance(inner, tuple) else [inner]:
            if isinstance(part, BaseException):
                yield from _innermost_first(part)
    yield from (part for part in error.args if isinstance(part, BaseException))
    yield error
