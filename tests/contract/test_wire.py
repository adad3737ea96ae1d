"""What stands around an envelope on the wire, and each thing that can be wrong with it."""

from dataclasses import replace

import pytest

from bus.limits import ENVELOPE_BYTES_MAX
from bus.transport import Delivery, Outgoing
from bus.transport.wire import Arrival, examine, headers

GOOD = Arrival(
    "x.out.police-a", "police-a.bank-b.urgent.stop-payment-order.v1", "police-a", {"ce-id": "1"}, b"envelope"
)


def test_a_good_arrival_has_no_fault() -> None:
    """Exchange, key and user id agree, and recipient and lane are ours."""
    assert examine("bank-b", "urgent", GOOD) == Delivery("police-a", "urgent", "stop-payment-order", b"envelope")


@pytest.mark.parametrize(
    ("arrival", "code"),
    [
        (replace(GOOD, exchange="x.dlx"), "LF-WIRE-EXCHANGE"),
        (replace(GOOD, exchange=""), "LF-WIRE-EXCHANGE"),
        (replace(GOOD, exchange="x.out."), "LF-WIRE-EXCHANGE"),
        (replace(GOOD, routing_key="police-a.bank-b.urgent"), "LF-WIRE-KEY"),
        (replace(GOOD, routing_key=GOOD.routing_key + "\n"), "LF-WIRE-KEY"),
        (replace(GOOD, exchange="x.out.bank-a", user_id="bank-a"), "LF-WIRE-SENDER"),
        (replace(GOOD, routing_key="police-a.bank-a.urgent.stop-payment-order.v1"), "LF-WIRE-RECIPIENT"),
        (replace(GOOD, routing_key="police-a.bank-b.bulk.stop-payment-order.v1"), "LF-WIRE-LANE"),
        (replace(GOOD, user_id=None), "LF-WIRE-USER"),
        (replace(GOOD, user_id="bank-a"), "LF-WIRE-USER"),
        (replace(GOOD, headers={"CC": ["x"]}), "LF-WIRE-CC"),
        (replace(GOOD, headers={"BCC": []}), "LF-WIRE-CC"),
        (replace(GOOD, body=bytes(ENVELOPE_BYTES_MAX + 1)), "LF-WIRE-SIZE"),
    ],
)
def test_a_wrong_wire_form_is_named(arrival: Arrival, code: str) -> None:
    """Each thing that does not hold has its own code, and the body is kept as evidence."""
    delivery = examine("bank-b", "urgent", arrival)
    assert delivery.fault == code
    assert delivery.body == arrival.body


def test_headers_say_nothing_that_the_key_does_not() -> None:
    """Headers carry id, source and type, in CloudEvents' names, and nothing else."""
    row = Outgoing(7, bytes(16), "police-a", "bank-b", "urgent", "lianfang.v1.StopPaymentOrder", 1, b"secret")
    assert headers(row, "id") == {
        "ce-specversion": "1.0",
        "ce-id": "id",
        "ce-source": "police-a",
        "ce-type": "lianfang.v1.StopPaymentOrder",
    }
