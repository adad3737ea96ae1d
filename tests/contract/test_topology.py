"""The broker's definitions: who may do what, and the expressions that say so."""

import json
import re

import pytest

from bus.errors import Usage
from bus.transport import LANES, Outgoing
from bus.transport.topology import (
    DEAD_LETTER_EXCHANGE,
    Key,
    Topology,
    check_agency,
    definitions,
    definitions_json,
    in_queue,
    key_pattern,
    out_exchange,
    parse_key,
    read_pattern,
    routing_key,
    write_pattern,
)

AGENCIES = ("police-a", "bank-a", "bank-b")


def perl(pattern: str) -> re.Pattern[str]:
    r"""Return Python's form of an expression of the broker: its `\z` is `\Z` here."""
    return re.compile(pattern.replace(r"\z", r"\Z"))


def test_an_agency_writes_to_its_own_exchange_only() -> None:
    """No other exchange, nor the default one, matches an agency's right to write; not with a newline behind either."""
    pattern = perl(write_pattern("bank-a"))
    assert pattern.search("x.out.bank-a")
    for other in (
        "x.out.bank-b",
        "x.out.bank-ab",
        "x.out.bank",
        "",
        "amq.default",
        "amq.topic",
        "x.dlx",
        "xxoutxbank-a",
    ):
        assert not pattern.search(other)
    assert not pattern.search("x.out.bank-a\n")


def test_an_agency_reads_its_own_queues_only() -> None:
    """Every lane and the dead-letter queue of its own, and nothing of an agency whose name begins alike."""
    pattern = perl(read_pattern("bank-a"))
    for lane in LANES:
        assert pattern.search(in_queue("bank-a", lane))
        assert not pattern.search(in_queue("bank-ab", lane))
        assert not pattern.search(in_queue("bank-a", lane) + "\n")
    assert pattern.search("q.dlq.bank-a")
    assert not pattern.search("q.dlq.bank-b")
    assert not pattern.search("q.in.bank-a.other")


def test_an_agency_publishes_under_its_own_name_only() -> None:
    """A key that begins with another's name, has another form, or ends in a newline matches no right."""
    pattern = perl(key_pattern("bank-a"))
    assert pattern.search("bank-a.police-a.urgent.stop-payment-order.v1")
    for other in (
        "bank-b.police-a.urgent.stop-payment-order.v1",
        "bank-a.police-a.now.stop-payment-order.v1",
        "bank-a.police-a.urgent.stop-payment-order",
        "bank-a.police-a.urgent.stop-payment-order.v1.more",
        "bank-a.police-a.urgent.stop-payment-order.v1\n",
        "xbank-a.police-a.urgent.stop-payment-order.v1",
        "#",
    ):
        assert not pattern.search(other)


@pytest.mark.parametrize("name", ["police-a", "a", "b2b", "x" * 32])
def test_agency_names_follow_the_grammar(name: str) -> None:
    """Lower case, digits and single hyphens, up to 32."""
    assert check_agency(name) == name


@pytest.mark.parametrize(
    "name", ["", "Police", "police.a", "police--a", "-a", "a-", "1a", "a\n", "a*", "a#", "x" * 33, "反诈"]
)
def test_other_names_are_refused(name: str) -> None:
    """A name that could match another's queues or keys does not get into the topology."""
    with pytest.raises(Usage, match="not an agency's name"):
        Topology((name,))


def test_a_key_comes_apart_as_it_was_put_together() -> None:
    """The routing key says sender, recipient, lane, type and version, and is read back to the same."""
    row = Outgoing(1, bytes(16), "police-a", "bank-b", "urgent", "lianfang.v1.StopPaymentOrder", 1, b"")
    assert routing_key(row) == "police-a.bank-b.urgent.stop-payment-order.v1"
    assert parse_key(routing_key(row)) == Key("police-a", "bank-b", "urgent", "stop-payment-order", 1)
    assert parse_key(routing_key(row) + "\n") is None


def test_every_exchange_that_may_be_written_has_a_topic_right() -> None:
    """Without a topic right an exchange takes every key, so none is without."""
    made = definitions(Topology(AGENCIES))
    rights = {(right["user"], right["exchange"]) for right in made["topic_permissions"]}
    assert rights == {(agency, out_exchange(agency)) for agency in AGENCIES}
    for exchange in made["exchanges"]:
        writers = {p["user"] for p in made["permissions"] if perl(p["write"]).search(exchange["name"])}
        assert writers == {user for user, name in rights if name == exchange["name"]}


def test_nobody_may_configure_anything() -> None:
    """No user, the administrator included, may declare or delete, or has a password that is known."""
    made = definitions(Topology(AGENCIES), administrator_hash="hash")
    assert {right["configure"] for right in made["permissions"]} == {"^$"}
    assert [user["name"] for user in made["users"] if user["password_hash"]] == ["bus-admin"]
    assert [user["name"] for user in made["users"] if user["tags"]] == ["bus-admin"]


def test_every_queue_is_bounded_and_refuses_when_full() -> None:
    """Quorum queues with limits in messages and bytes that push back; what is set aside is kept, too."""
    for queue in definitions(Topology(AGENCIES))["queues"]:
        arguments = queue["arguments"]
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-overflow"] == "reject-publish"
        assert arguments["x-max-length"] > 0
        assert arguments["x-max-length-bytes"] > 0
        if queue["name"].startswith("q.in."):
            assert arguments["x-dead-letter-exchange"] == DEAD_LETTER_EXCHANGE
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            assert arguments["x-delivery-limit"] == 20


def test_exchanges_are_bound_to_queues_and_never_to_exchanges() -> None:
    """A second exchange hop can be bypassed with a CC header, so there is none."""
    made = definitions(Topology(AGENCIES))
    assert {binding["destination_type"] for binding in made["bindings"]} == {"queue"}
    queues = {queue["name"] for queue in made["queues"]}
    assert {binding["destination"] for binding in made["bindings"]} == queues


def test_only_permitted_links_are_bound() -> None:
    """With links given, exactly those are bound; without, everybody to everybody but itself."""
    one = Topology(AGENCIES, frozenset({("police-a", "bank-b", "urgent")}))
    bound = [b for b in definitions(one)["bindings"] if b["source"] != DEAD_LETTER_EXCHANGE]
    assert [(b["source"], b["destination"], b["routing_key"]) for b in bound] == [
        ("x.out.police-a", "q.in.bank-b.urgent", "police-a.bank-b.urgent.*.*")
    ]
    assert len(Topology(AGENCIES).permitted()) == 3 * 2 * len(LANES)


@pytest.mark.parametrize("link", [("police-a", "nobody", "urgent"), ("police-a", "bank-a", "soon")])
def test_a_link_to_what_is_not_there_is_refused(link: tuple[str, str, str]) -> None:
    """A topology that names strangers or other lanes is refused."""
    with pytest.raises(Usage, match="does not have"):
        Topology(AGENCIES, frozenset({link}))


def test_only_new_brokers_get_what_old_ones_refuse() -> None:
    """One text suits 3.10 to 4.x; 4.3 gets one policy more, because 3.10 would not boot with it."""
    assert definitions_json(Topology(AGENCIES)) == definitions_json(Topology(AGENCIES), version=(3, 10))
    assert definitions(Topology(AGENCIES), version=(4, 3))["policies"]
    assert not definitions(Topology(AGENCIES), version=(4, 2))["policies"]
    json.loads(definitions_json(Topology(AGENCIES)))


def test_the_disk_that_all_queues_may_take_is_known() -> None:
    """Twice as many agencies may take twice the disk: an operator can compare that with what there is."""
    assert Topology(AGENCIES[:1]).disk_bytes_max() * 3 == Topology(AGENCIES).disk_bytes_max()
