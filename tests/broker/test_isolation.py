"""What an agency with a valid certificate can do to others on the real broker: nothing; and what it may do, works."""

import base64
import socket
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pika
import pika.exceptions
import pytest
from cryptography import x509
from pika.adapters.blocking_connection import BlockingConnection
from pika.credentials import PlainCredentials
from pika.spec import BasicProperties

from bus.transport.rabbit import RabbitTransport
from bus.transport.topology import USER_CONNECTIONS_MAX, Topology
from deploy.local.broker import LocalBroker
from deploy.local.certificates import CLIENT, SERVER, Authority, Identity
from tests.broker.scene import ALLOWED, Attack, Scene, connected, context, outcome, parameters
from tests.contract.boxes import MemoryInbox, MemoryOutbox, wait_for

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def scene(broker: LocalBroker) -> Scene:
    token = uuid.uuid4().hex[:10]
    attacker, victim, other = (f"{word}-i{token}" for word in ("rival", "bank", "police"))
    broker.admit(Topology((attacker, victim, other)))
    return Scene(broker, attacker, victim, other)


@pytest.fixture(scope="module")
def intruder(scene: Scene) -> Iterator[BlockingConnection]:
    with connected(scene.broker, scene.attacker) as connection:
        yield connection


def publish(exchange: str, key: str, **properties: object) -> Attack:
    """Return an attack that publishes; {a}, {v} and {o} stand for attacker, victim and other."""

    def attack(channel: object, scene: Scene) -> None:
        names = {"a": scene.attacker, "v": scene.victim, "o": scene.other}
        filled = {
            name: value.format(**names) if isinstance(value, str) else value for name, value in properties.items()
        }
        body = filled.pop("body", b"forged")
        channel.basic_publish(exchange.format(**names), key.format(**names), body, BasicProperties(**filled), True)

    return attack


OWN = "{a}.{v}.urgent.stop-payment-order.v1"

PUBLISHING = {
    "the own exchange and key": (publish("x.out.{a}", OWN, user_id="{a}"), ALLOWED),
    "another permitted lane": (publish("x.out.{a}", "{a}.{v}.bulk.stop-payment-order.v1"), ALLOWED),
    "a recipient that is not there": (publish("x.out.{a}", "{a}.nobody.urgent.stop-payment-order.v1"), "returned"),
    "itself": (publish("x.out.{a}", "{a}.{a}.urgent.stop-payment-order.v1"), "returned"),
    "another's key": (publish("x.out.{a}", "{v}.{o}.urgent.stop-payment-order.v1"), "403"),
    "a key with a newline behind": (publish("x.out.{a}", OWN + "\n"), "403"),
    "a key with a newline before": (publish("x.out.{a}", "\n" + OWN), "403"),
    "a lane that is not there": (publish("x.out.{a}", "{a}.{v}.now.stop-payment-order.v1"), "403"),
    "a key without version": (publish("x.out.{a}", "{a}.{v}.urgent.stop-payment-order"), "403"),
    "a key that goes on": (publish("x.out.{a}", OWN + ".more"), "403"),
    "an empty key": (publish("x.out.{a}", ""), "403"),
    "a wildcard as key": (publish("x.out.{a}", "#"), "403"),
    "a recipient with a wildcard": (publish("x.out.{a}", "{a}.*.urgent.stop-payment-order.v1"), "403"),
    "another's exchange, another's key": (publish("x.out.{v}", "{v}.{o}.urgent.stop-payment-order.v1"), "403"),
    "another's exchange, the own key": (publish("x.out.{v}", OWN), "403"),
    "another's user id": (publish("x.out.{a}", OWN, user_id="{v}"), "406"),
    "the default exchange, another's queue": (publish("", "q.in.{v}.urgent"), "403"),
    "the default exchange, the own queue": (publish("", "q.in.{a}.urgent"), "403"),
    "amq.direct": (publish("amq.direct", OWN), "403"),
    "amq.topic": (publish("amq.topic", OWN), "403"),
    "amq.fanout": (publish("amq.fanout", OWN), "403"),
    "amq.headers": (publish("amq.headers", OWN), "403"),
    "amq.match": (publish("amq.match", OWN), "403"),
    "amq.rabbitmq.trace": (publish("amq.rabbitmq.trace", OWN), "403"),
    "the exchange of dead letters": (publish("x.dlx", "{v}"), "403"),
    "an exchange that is not there": (publish("x.out.nobody", OWN), "403"),
    "a message of more than 1 MiB": (publish("x.out.{a}", OWN, body=bytes(1024 * 1024 + 1)), "406"),
}


@pytest.mark.parametrize("name", PUBLISHING)
def test_an_agency_publishes_as_itself_only(intruder: BlockingConnection, scene: Scene, name: str) -> None:
    """Whatever exchange, key and user id it tries, the broker takes only what carries its own name."""
    attack, expected = PUBLISHING[name]
    assert outcome(intruder, scene, attack) == expected


QUEUES = {
    "get from the own queue": (lambda c, s: c.basic_get(f"q.in.{s.attacker}.urgent", auto_ack=True), ALLOWED),
    "get from the own dead letters": (lambda c, s: c.basic_get(f"q.dlq.{s.attacker}", auto_ack=True), ALLOWED),
    "consume the own queue": (lambda c, s: c.basic_consume(f"q.in.{s.attacker}.bulk", print), ALLOWED),
    "look at the own queue": (lambda c, s: c.queue_declare(f"q.in.{s.attacker}.urgent", passive=True), ALLOWED),
    "get from another's queue": (lambda c, s: c.basic_get(f"q.in.{s.victim}.urgent", auto_ack=True), "403"),
    "get from another's dead letters": (lambda c, s: c.basic_get(f"q.dlq.{s.victim}", auto_ack=True), "403"),
    "consume another's queue": (lambda c, s: c.basic_consume(f"q.in.{s.victim}.normal", print), "403"),
    "purge another's queue": (lambda c, s: c.queue_purge(f"q.in.{s.victim}.urgent"), "403"),
    "purge another's dead letters": (lambda c, s: c.queue_purge(f"q.dlq.{s.victim}"), "403"),
    "delete another's queue": (lambda c, s: c.queue_delete(f"q.in.{s.victim}.urgent"), "403"),
    "delete the own queue": (lambda c, s: c.queue_delete(f"q.in.{s.attacker}.urgent"), "403"),
    "declare a queue": (lambda c, s: c.queue_declare("q.mine"), "403"),
    "declare a queue under another's name": (lambda c, s: c.queue_declare(f"q.in.{s.victim}.other"), "403"),
    "declare another's queue anew": (lambda c, s: c.queue_declare(f"q.in.{s.victim}.urgent", durable=True), "403"),
    "declare an exclusive queue": (lambda c, s: c.queue_declare("", exclusive=True), "403"),
    "declare an exchange": (lambda c, s: c.exchange_declare("x.mine", "fanout"), "403"),
    "declare the own exchange anew": (lambda c, s: c.exchange_declare(f"x.out.{s.attacker}", "fanout"), "403"),
    "delete the own exchange": (lambda c, s: c.exchange_delete(f"x.out.{s.attacker}"), "403"),
    "delete another's exchange": (lambda c, s: c.exchange_delete(f"x.out.{s.victim}"), "403"),
    "bind the own queue to another's exchange": (
        lambda c, s: c.queue_bind(f"q.in.{s.attacker}.urgent", f"x.out.{s.victim}", "#"),
        "403",
    ),
    "bind another's queue to the own exchange": (
        lambda c, s: c.queue_bind(f"q.in.{s.victim}.urgent", f"x.out.{s.attacker}", "#"),
        "403",
    ),
    "bind the own queue to the trace": (
        lambda c, s: c.queue_bind(f"q.in.{s.attacker}.urgent", "amq.rabbitmq.trace", "#"),
        "403",
    ),
    "unbind another's queue": (
        lambda c, s: c.queue_unbind(f"q.in.{s.victim}.urgent", f"x.out.{s.other}", s.key(s.other, s.victim)),
        "403",
    ),
    "bind the own exchange to another's": (
        lambda c, s: c.exchange_bind(f"x.out.{s.victim}", f"x.out.{s.attacker}", "#"),
        "403",
    ),
    "bind another's exchange to the own": (
        lambda c, s: c.exchange_bind(f"x.out.{s.attacker}", f"x.out.{s.victim}", "#"),
        "403",
    ),
}


@pytest.mark.parametrize("name", QUEUES)
def test_an_agency_reads_its_own_queues_and_changes_nothing(
    intruder: BlockingConnection, scene: Scene, name: str
) -> None:
    """No other queue can be read, emptied or deleted, and nothing can be declared or bound."""
    attack, expected = QUEUES[name]
    assert outcome(intruder, scene, attack) == expected


def test_the_depth_of_anothers_queue_is_hidden_by_new_brokers_only(intruder: BlockingConnection, scene: Scene) -> None:
    """RabbitMQ before 4.3 tells anybody how many messages wait in a queue (a known leak of counts); from 4.3 on not."""
    version = tuple(int(part) for part in scene.broker.status()["version"].split("."))
    told = outcome(intruder, scene, lambda c, s: c.queue_declare(f"q.in.{s.victim}.urgent", passive=True))
    assert told == ("403" if version >= (4, 3) else ALLOWED)


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_copy_header_forges_no_sender(intruder: BlockingConnection, scene: Scene, header: str) -> None:
    """A copy addressed under another's name reaches nobody, whether the broker refuses it or drops the copy."""
    forged = [scene.key(scene.victim, scene.other, "bulk")]
    sent = outcome(
        intruder, scene, publish("x.out.{a}", "{a}.{o}.normal.stop-payment-order.v1", headers={header: forged})
    )
    assert sent in (ALLOWED, "403")
    with connected(scene.broker, scene.other) as connection:
        assert connection.channel().basic_get(f"q.in.{scene.other}.bulk", auto_ack=True) == (None, None, None)


@pytest.fixture
def received(scene: Scene) -> Iterator[MemoryInbox]:
    """Give what the victim's own transport hands to its node, from now on."""
    with connected(scene.broker, scene.victim) as connection:
        for lane in ("urgent", "normal", "bulk"):
            connection.channel().queue_purge(f"q.in.{scene.victim}.{lane}")
    inbox = MemoryInbox()
    transport = RabbitTransport(scene.victim, scene.broker.connection(scene.victim), Path())
    transport.start(MemoryOutbox(scene.victim), inbox)
    yield inbox
    transport.stop()


@pytest.mark.parametrize(
    ("attack", "faults"),
    [
        (publish("x.out.{a}", OWN, user_id="{a}"), {""}),
        (publish("x.out.{a}", OWN), {"LF-WIRE-USER"}),
        (
            publish(
                "x.out.{a}",
                "{a}.{o}.normal.stop-payment-order.v1",
                user_id="{a}",
                headers={"BCC": ["{a}.{v}.bulk.x.v1"]},
            ),
            {"LF-WIRE-RECIPIENT"},
        ),
        (
            publish("x.out.{a}", OWN, user_id="{a}", headers={"CC": ["{a}.{v}.bulk.x.v1"]}),
            {"LF-WIRE-CC", "LF-WIRE-LANE"},
        ),
    ],
    ids=["as it should be", "without user id", "a blind copy", "a copy to another lane"],
)
def test_what_the_broker_lets_pass_the_receiver_quarantines(
    intruder: BlockingConnection, scene: Scene, received: MemoryInbox, attack: Attack, faults: set[str]
) -> None:
    """A message without the sender's user id, or a copy under another key, arrives marked with its fault."""

    def with_names(channel: pika.channel.Channel, scene: Scene) -> None:
        def basic_publish(exchange: str, key: str, body: bytes, properties: BasicProperties, mandatory: bool) -> None:
            for copies in (properties.headers or {}).values():
                copies[:] = [copy.format(a=scene.attacker, v=scene.victim) for copy in copies]
            channel.basic_publish(exchange, key, body, properties, mandatory)

        attack(type("Channel", (), {"basic_publish": staticmethod(basic_publish)}), scene)

    assert outcome(intruder, scene, with_names) == ALLOWED
    wait_for(lambda: len(received.taken()) == len(faults))
    assert {delivery.fault for delivery in received.taken()} == faults
    assert {delivery.sender for delivery in received.taken()} == {scene.attacker}


def speaks(broker: LocalBroker, tls: ssl.SSLContext) -> bool:
    """Say whether the broker answers AMQP over this TLS context."""
    port = broker.status()["ports"]["amqps"]
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            tls.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            secured.sendall(b"AMQP\x00\x00\x09\x01")
            return secured.recv(1) == b"\x01"
    except (ssl.SSLError, ConnectionError):
        return False


def foreign(scene: Scene, tmp_path: Path) -> Identity:
    identity = Authority.open(tmp_path / "foreign").agency(scene.victim)
    return Identity(scene.broker.authority().certificate_file, identity.certificate, identity.key)


def issued(scene: Scene, tmp_path: Path, usage: x509.ObjectIdentifier, days: tuple[int, int]) -> Identity:
    now = datetime.now(UTC)
    validity = (now + timedelta(days=days[0]), now + timedelta(days=days[1]))
    names = [x509.DNSName(scene.attacker)]
    return scene.broker.authority().issue(tmp_path / "issued", scene.attacker, names, usage, validity)


CERTIFICATES = {
    "its own": (lambda s, _: s.broker.authority().agency(s.attacker), True),
    "none": (lambda _, __: None, False),
    "of a foreign authority": (foreign, False),
    "expired": (lambda s, path: issued(s, path, CLIENT, (-10, -1)), False),
    "not valid yet": (lambda s, path: issued(s, path, CLIENT, (1, 10)), False),
    "for servers": (lambda s, path: issued(s, path, SERVER, (-1, 10)), False),
    "the broker's own": (lambda s, _: s.broker.authority().server(), False),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", CERTIFICATES)
def test_only_a_valid_client_certificate_opens_the_broker(
    scene: Scene, tmp_path: Path, name: str, version: ssl.TLSVersion
) -> None:
    """With any other certificate, or none, the broker does not say a word of AMQP; in TLS 1.2 and in 1.3."""
    make, expected = CERTIFICATES[name]
    tls = context(make(scene, tmp_path), scene.broker.authority().certificate_file)
    tls.minimum_version = tls.maximum_version = version
    assert speaks(scene.broker, tls) is expected


def test_a_revoked_certificate_is_refused_at_once(scene: Scene) -> None:
    """Revoking closes what is open and keeps out what comes; a new certificate for the same agency works."""
    agency = f"gone-i{uuid.uuid4().hex[:10]}"
    scene.broker.admit(Topology((agency,)))
    identity = scene.broker.authority().agency(agency)
    old = context(identity, identity.authority)
    connection = BlockingConnection(parameters(scene.broker, identity))
    scene.broker.revoke(agency)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(30)
    assert not speaks(scene.broker, old)
    assert speaks(scene.broker, context(scene.broker.authority().agency(agency), identity.authority))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_and_no_tls_are_refused(scene: Scene) -> None:
    """TLS 1.1 finds no common version, and plain AMQP gets no answer."""
    identity = scene.broker.authority().agency(scene.attacker)
    old = context(identity, identity.authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    assert not speaks(scene.broker, old)
    with socket.create_connection(("127.0.0.1", scene.broker.status()["ports"]["amqps"]), 5) as plain:
        plain.sendall(b"AMQP\x00\x00\x09\x01")
        plain.settimeout(10)
        assert not plain.recv(64).startswith(b"\x01")


def test_no_password_opens_the_broker(scene: Scene) -> None:
    """Not an agency's, not guest's, not even the administrator's own over AMQP: only the certificate counts."""
    identity = scene.broker.authority().agency(scene.attacker)
    password = scene.broker.management().password
    for user, word in ((scene.victim, ""), (scene.victim, "x"), ("guest", "guest"), ("bus-admin", password)):
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            BlockingConnection(parameters(scene.broker, identity, credentials=PlainCredentials(user, word)))


def test_no_other_virtual_host_is_there(scene: Scene) -> None:
    """The default host does not exist, and nobody may enter it."""
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        BlockingConnection(parameters(scene.broker, scene.broker.authority().agency(scene.attacker), "/"))


def test_a_certificate_for_an_unknown_agency_opens_nothing(scene: Scene) -> None:
    """A valid certificate for a name that the topology does not have is no user."""
    stranger = scene.broker.authority().agency(f"stranger-i{uuid.uuid4().hex[:10]}")
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        BlockingConnection(parameters(scene.broker, stranger))


def test_the_subject_of_a_certificate_is_not_looked_at(scene: Scene, tmp_path: Path) -> None:
    """A certificate whose subject names the victim is still the agency of its alternative name."""
    names = [x509.DNSName(scene.attacker)]
    identity = scene.broker.authority().issue(tmp_path / "issued", scene.victim, names, CLIENT)
    connection = BlockingConnection(parameters(scene.broker, identity))
    as_victim = publish("x.out.{v}", "{v}.{o}.urgent.stop-payment-order.v1")
    assert outcome(connection, scene, as_victim) == "403"
    assert outcome(connection, scene, publish("x.out.{a}", OWN, user_id="{a}")) == ALLOWED
    connection.close()


def test_an_agency_cannot_take_all_connections(scene: Scene) -> None:
    """One more than the limit is refused; the others still work."""
    agency = f"greedy-i{uuid.uuid4().hex[:10]}"
    scene.broker.admit(Topology((agency,)))
    identity = scene.broker.authority().agency(agency)
    open_ones = [BlockingConnection(parameters(scene.broker, identity)) for _ in range(USER_CONNECTIONS_MAX)]
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        BlockingConnection(parameters(scene.broker, identity))
    assert all(connection.is_open for connection in open_ones)
    for connection in open_ones:
        connection.close()


@pytest.mark.parametrize("user", ["", "guest:guest", "{v}:", "{v}:x", "bus-admin:"])
def test_the_management_interface_lets_in_its_administrator_only(scene: Scene, user: str) -> None:
    """Nobody, guest, an agency without or with a password, and an administrator without one get 401."""
    port = scene.broker.status()["ports"]["management"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/queues")
    if user:
        word = base64.b64encode(user.format(v=scene.victim).encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    caught.value.close()
    assert caught.value.code == 401
    assert scene.broker.management().queues()


def test_forging_succeeds_where_the_rights_are_left_out(scene: Scene) -> None:
    """The attacks above fail because of the rights: an agency that may write anywhere forges the victim's messages."""
    agency = f"trusted-i{uuid.uuid4().hex[:10]}"
    scene.broker.admit(Topology((agency,)))
    right = {"user": agency, "vhost": "bus", "configure": "^$", "write": ".*", "read": ".*"}
    scene.broker.management().import_definitions({"permissions": [right]})
    with connected(scene.broker, agency) as connection:
        forged = publish("x.out.{v}", "{v}.{o}.urgent.stop-payment-order.v1")
        assert outcome(connection, scene, forged) == ALLOWED
        queue = f"q.in.{scene.other}.urgent"
        method, _, body = connection.channel().basic_get(queue, auto_ack=True)
        assert (method.exchange, body) == (f"x.out.{scene.victim}", b"forged")
