"""What may become of an order or a query, as a table.

A query is carried out as an order is: it goes to one agency, under the asker's number, and is answered. An order is issued on one side and received on the other; both keep a row. States only move along the arrows, so a late
or repeated message never takes an order back.
"""

SENT = "sent"
DELIVERED = "delivered"
REFUSED = "refused"
ANSWERED = "answered"
EXPIRED = "expired"
RECEIVED = "received"
HANDED_OVER = "handed_over"

NEXT: dict[str, frozenset[str]] = {
    SENT: frozenset({DELIVERED, REFUSED, ANSWERED, EXPIRED}),
    DELIVERED: frozenset({ANSWERED, EXPIRED}),
    RECEIVED: frozenset({HANDED_OVER, REFUSED, ANSWERED, EXPIRED}),
    HANDED_OVER: frozenset({ANSWERED, EXPIRED}),
    REFUSED: frozenset({ANSWERED}),
    EXPIRED: frozenset({ANSWERED}),
    ANSWERED: frozenset(),
}

RESULT_OF = {
    "lianfang.v1.StopPaymentOrder": "lianfang.v1.StopPaymentResult",
    "lianfang.v1.FreezeOrder": "lianfang.v1.FreezeResult",
    "lianfang.v1.AccountQuery": "lianfang.v1.AccountAnswer",
    "lianfang.v1.TransactionQuery": "lianfang.v1.TransactionTrace",
    "lianfang.v1.MonitoringOrder": "lianfang.v1.MonitoringAnswer",
}
ORDER_OF = {result: order for order, result in RESULT_OF.items()} | {
    "lianfang.v1.MonitoringEvent": "lianfang.v1.MonitoringOrder",
}
"""Monitoring is answered once, and by an event for every movement that is seen."""
UNASKED = frozenset({"lianfang.v1.TransactionTrace"})
"""Results that travel without an order too: a person reads those."""


def may_follow(current: str, following: str) -> bool:
    """Say whether an order in state `current` may move to `following`."""
    return following in NEXT[current]
