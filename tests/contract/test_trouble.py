"""Every error of pika has a code, a cause and a cure."""

import inspect
import socket
import ssl

import pytest
from pika import exceptions
from pika.adapters.utils import connection_workflow

from bus.transport.trouble import BY_NAME, REFUSED, SERVER_UNKNOWN, TLS_BROKEN, explain


def exception_names() -> set[str]:
    """Return every exception class that pika defines."""
    return {
        name
        for module in (exceptions, connection_workflow)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    }


def test_every_pika_exception_is_mapped() -> None:
    """No exception of this pika is without words, and no word is for one that it does not have."""
    assert set(BY_NAME) == exception_names()


def test_every_trouble_has_code_cause_and_cure() -> None:
    """Each is said in full; a code stands for one cause."""
    by_code = {}
    for trouble in BY_NAME.values():
        assert trouble.code.startswith("LF-")
        assert trouble.cause
        assert trouble.cure
        assert by_code.setdefault(trouble.code, trouble) == trouble


@pytest.mark.parametrize(
    "text",
    [
        "SSLError(1, '[SSL: SSLV3_ALERT_CERTIFICATE_REVOKED] sslv3 alert certificate revoked (_ssl.c:2580)')",
        "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired",
        "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca",
        "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required",
        "ConnectionResetError(104, 'Connection reset by peer')",
        "[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate",
    ],
)
def test_a_refused_certificate_is_said_as_such(text: str) -> None:
    """However deep pika hides it, a refusal of our certificate is named, not "incompatible protocol"."""
    hidden = connection_workflow.AMQPConnectionWorkflowFailed(
        [
            connection_workflow.AMQPConnectorAMQPHandshakeError(
                exceptions.IncompatibleProtocolError(f"StreamLostError: ({text!r})")
            )
        ]
    )
    assert explain(hidden) == REFUSED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED"), SERVER_UNKNOWN.code),
        (ssl.SSLError("wrong version number"), TLS_BROKEN.code),
        (ConnectionRefusedError(), "LF-BROKER-DOWN"),
        (socket.gaierror(), "LF-BROKER-DOWN"),
        (connection_workflow.AMQPConnectorSocketConnectError(ConnectionRefusedError()), "LF-BROKER-DOWN"),
        (exceptions.ProbableAuthenticationError("x"), "LF-BROKER-LOGIN"),
        (exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"), "LF-BROKER-CLOSED"),
        (exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED"), "LF-BROKER-CHANNEL"),
        (OSError("anything else"), "LF-BROKER-LOST"),
    ],
)
def test_other_errors_have_their_codes(error: Exception, code: str) -> None:
    """What pika passes on of the socket and of TLS is told apart."""
    assert explain(error).code == code
