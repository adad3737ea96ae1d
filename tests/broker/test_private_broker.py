"""The private broker as a whole: where it listens, what it leaves, and how nodes live with its going and coming."""

import os
import socket
import ssl
import stat
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from bus.config import Broker
from bus.errors import NoAnswer, NotFound
from bus.transport.rabbit import RabbitTransport
from deploy.local import broker as broker_module
from deploy.local import certificates, install
from deploy.local.broker import LocalBroker
from deploy.local.certificates import Authority, name_hash
from deploy.local.install import RabbitMissing
from deploy.local.processes import Process
from tests.contract.boxes import MemoryInbox, MemoryOutbox, wait_for
from tests.fixtures_broker import MakeAgencies, start

pytestmark = pytest.mark.broker

LISTENING = "0A"
LOOPBACK_4, LOOPBACK_6 = "0100007F", "00000000000000000000000001000000"


def listening_addresses(pid: int) -> list[tuple[str, int]]:
    """Return (address in hexadecimal, port) of every socket on which a process listens, from /proc/net."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


def mapper(broker: LocalBroker) -> Process:
    """Return the broker's own port mapper."""
    process = broker._state().epmd
    assert process is not None
    return process


def test_every_listener_is_on_loopback(broker: LocalBroker) -> None:
    """Broker and port mapper listen on 127.0.0.1 (and ::1), on the four ports that the status names, and nowhere else."""
    status = broker.status()
    addresses = listening_addresses(status["pid"]) + listening_addresses(mapper(broker).pid)
    assert {port for _, port in addresses} == set(status["ports"].values())
    assert {address for address, _ in addresses} <= {LOOPBACK_4, LOOPBACK_6}


def test_the_amqp_port_speaks_tls_only(broker: LocalBroker) -> None:
    """The listener offers TLS 1.2 and 1.3; a client of either version gets through the handshake."""
    identity = broker.authority().server()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        tls = ssl.create_default_context(cafile=str(identity.authority))
        tls.minimum_version = tls.maximum_version = version
        agency = broker.authority().agency("anybody")
        tls.load_cert_chain(agency.certificate, agency.key)
        port = broker.status()["ports"]["amqps"]
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            tls.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            assert secured.version() == version.name.replace("v1_", "v1.")


def test_secrets_are_their_owners_alone(broker: LocalBroker) -> None:
    """Keys, the Erlang cookie and the administrator's password can be read by their owner only."""
    secrets = [*broker.directory.rglob("*.key"), *broker.directory.rglob("key.pem")]
    secrets += [broker.directory / ".erlang.cookie", broker.directory / "bus-admin.password"]
    assert len(secrets) > 3
    for file in secrets:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name


def test_starting_what_runs_changes_nothing_and_adds_what_is_missing(
    broker: LocalBroker, broker_agencies: MakeAgencies
) -> None:
    """Starting again keeps the process; agencies that were missing are there after."""
    before = broker.status()["pid"]
    (agency,) = broker_agencies("newcomer")
    assert broker.start(["added-later"])["pid"] == before
    queues = {queue["name"] for queue in broker.management().queues()}
    assert {"q.in.added-later.urgent", f"q.in.{agency}.urgent"} <= queues


def test_an_unknown_agency_has_no_connection(broker: LocalBroker) -> None:
    """Asking how an agency connects that the broker does not have says so."""
    with pytest.raises(NotFound, match="no agency"):
        broker.connection("nobody-at-all")


def test_kill_and_resume_loses_nothing(own_broker: LocalBroker) -> None:
    """Killed under traffic and started again, the broker has lost no confirmed message, and nodes resume by themselves."""
    start(own_broker, "police-a", "bank-b")
    before = own_broker.status()
    outbox, inbox = MemoryOutbox("police-a"), MemoryInbox()
    sender = RabbitTransport("police-a", own_broker.connection("police-a"), Path())
    receiver = RabbitTransport("bank-b", own_broker.connection("bank-b"), Path())
    sender.start(outbox, MemoryInbox())
    receiver.start(MemoryOutbox("bank-b"), inbox)
    sent: list[bytes] = []
    for part in range(40):
        bodies = [b"%02d-%03d" % (part, number) for number in range(50)]
        sent += bodies
        outbox.put("bank-b", bodies)
        sender.wake()
        time.sleep(0.01)
    assert own_broker.kill()
    wait_for(lambda: not any(sender.health()["connected"].values()))
    assert sender.health()["trouble"], "health says why"
    start(own_broker)
    wait_for(lambda: not outbox.waiting() and len(set(inbox.bodies())) == len(sent), 30)
    sender.stop()
    receiver.stop()
    assert set(inbox.bodies()) == set(sent)
    assert own_broker.status()["ports"] == before["ports"], "nodes find it where it was"
    mapper_process, broker_process = mapper(own_broker), own_broker._state().broker
    assert own_broker.stop()
    assert broker_process is not None
    assert not broker_process.is_running()
    assert not mapper_process.is_running()
    assert not own_broker.stop(), "nothing is left to stop"


def test_a_node_works_on_while_the_broker_is_down(broker: LocalBroker, broker_agencies: MakeAgencies) -> None:
    """Without a broker the transport starts, says that it is down with code and cure, and stops at once."""
    (agency,) = broker_agencies("alone")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = broker.connection(agency).model_copy(update={"port": nobody.getsockname()[1]})
        outbox = MemoryOutbox(agency)
        transport = RabbitTransport(agency, down, Path())
        transport.start(outbox, MemoryInbox())
        outbox.put("anybody", [b"waits"])
        transport.wake()
        wait_for(lambda: len(transport.health()["trouble"]) == 5)
        assert {trouble["code"] for trouble in transport.health()["trouble"].values()} == {"LF-BROKER-DOWN"}
        began = time.monotonic()
        transport.stop()
        assert time.monotonic() - began < 5
    assert outbox.waiting() == 1


def trouble_of(agency: str, connection: Broker) -> set[str]:
    """Return the codes that a transport with this connection comes to say."""
    transport = RabbitTransport(agency, connection, Path())
    transport.start(MemoryOutbox(agency), MemoryInbox())
    wait_for(lambda: len(transport.health()["trouble"]) == 5)
    codes = {trouble["code"] for trouble in transport.health()["trouble"].values()}
    transport.stop()
    return codes


def test_a_refused_certificate_is_said_as_such(
    broker: LocalBroker, broker_agencies: MakeAgencies, tmp_path: Path
) -> None:
    """A certificate of another authority, a broker that is not trusted, and a missing file each have their own code."""
    foreign = Authority.open(tmp_path / "foreign")
    identity = foreign.agency("police-a")
    (agency,) = broker_agencies("police")
    good = broker.connection(agency)
    refused = good.model_copy(update={"certificate_file": str(identity.certificate), "key_file": str(identity.key)})
    assert trouble_of(agency, refused) == {"LF-TLS-REFUSED"}
    untrusted = good.model_copy(update={"ca_file": str(identity.authority)})
    assert trouble_of(agency, untrusted) == {"LF-TLS-SERVER"}
    missing = good.model_copy(update={"key_file": str(tmp_path / "nothing.pem")})
    assert trouble_of(agency, missing) == {"LF-TLS-FILES"}


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing(
    own_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that RabbitMQ refuses ends in one error with its last words; no process stays behind."""
    real = broker_module.node_files.write

    def broken(directory: Path, *rest: object) -> None:
        real(directory, *rest)  # type: ignore[arg-type] # passed on as it came
        (directory / "rabbitmq.conf").write_text("no such key = 1\n", encoding="utf-8")

    monkeypatch.setattr(broker_module.node_files, "write", broken)
    with pytest.raises(NoAnswer, match="ended while it was starting") as caught:
        own_broker.start(["police-a"])
    assert caught.value.code == "LF-BROKER-START"
    state = own_broker._state()
    assert (state.broker, state.epmd) == (None, None)
    assert not own_broker.status()["running"]


def test_without_rabbitmq_and_root_one_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is installed and nobody may install it, the error names package and way out."""
    monkeypatch.setenv(install.HOME_VARIABLE, "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install.shutil, "which", lambda name: None if name == "sudo" else f"/usr/bin/{name}")
    with pytest.raises(RabbitMissing) as caught:
        install.ensure()
    assert caught.value.code == "LF-BROKER-MISSING"
    assert "rabbitmq-server" in caught.value.cure
    assert "memory" in caught.value.cure


def test_a_process_id_that_was_given_to_another_is_not_ours() -> None:
    """A process is known by id and start time: the same id with another start is somebody else."""
    child = subprocess.Popen(["sleep", "60"])
    process = Process(child.pid, broker_module_start_time(child.pid))
    try:
        assert process.is_running()
        assert not Process(child.pid, process.started + 1).is_running()
        assert Process(child.pid, process.started + 1).end(15, 0.1)
        assert process.is_running(), "another's process was not ended"
    finally:
        child.kill()
        child.wait()
    assert not process.is_running()


def broker_module_start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])


def test_certificates_are_renewed_and_the_list_is_named_as_openssl_does(tmp_path: Path) -> None:
    """An agency keeps its certificate until it is about to expire; the revocation list has the name that Erlang seeks."""
    authority = Authority.open(tmp_path / "pki")
    first = authority.agency("bank-a").certificate.read_bytes()
    revocations = next(authority.revocation_directory.iterdir()).read_bytes()
    assert Authority.open(tmp_path / "pki").agency("bank-a").certificate.read_bytes() == first
    assert next(authority.revocation_directory.iterdir()).read_bytes() == revocations, "opening publishes nothing"
    certificate = x509.load_pem_x509_certificate(authority.certificate_file.read_bytes())
    told = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(authority.certificate_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert name_hash(certificate.subject) == told.stdout.strip()
    leaf = x509.load_pem_x509_certificate(first)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("bank-a")]


def test_a_certificate_about_to_expire_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less than a month left an agency gets a new certificate, and everybody a new revocation list."""
    monkeypatch.setattr(certificates, "LEAF_LIFETIME", timedelta(days=29))
    authority = Authority.open(tmp_path / "pki")
    first = authority.agency("bank-a").certificate.read_bytes()
    revocations = next(authority.revocation_directory.iterdir()).read_bytes()
    monkeypatch.undo()
    again = Authority.open(tmp_path / "pki")
    assert again.agency("bank-a").certificate.read_bytes() != first
    assert next(again.revocation_directory.iterdir()).read_bytes() != revocations
    assert again.certificate_file.read_bytes() == authority.certificate_file.read_bytes()
