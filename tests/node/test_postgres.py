"""The node on PostgreSQL: the same code, the same promises, and what only PostgreSQL enforces or can do to it."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, func, make_url, select

from audit.errors import AuditUnavailable, CommitUnknown
from bus import store
from bus.control import _facts
from bus.errors import Usage
from bus.operations import NodeOperations
from bus.parts import Actor
from bus.transport import Delivery, Disposition
from deploy.local.postgres import Cluster
from schemas.v1 import envelope_pb2, workflow_pb2
from tests.cli.conftest import Typed, lianfang
from tests.fixtures_postgres import postgres_cluster  # noqa: F401 - a fixture is found by name
from tests.node import stage
from tests.simulation.story import CAST, STOP, TARGET, Story
from tests.simulator import Fault, Simulation, prepare

Begin = Callable[[str], Story]
POLICE = Actor("investigator-1", ("investigator", "freeze_operator"))


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cast") / "nodes"
    prepare(directory, CAST)
    return directory


@pytest.fixture
def begin(tmp_path: Path, cast: Path, postgres_cluster: Cluster) -> Iterator[Begin]:  # noqa: F811 - the fixture above
    """Begin a simulation with every node on a database of its own."""
    begun: list[Story] = []

    def make(seed: str) -> Story:
        nodes, directory = tmp_path / f"prepared-{len(begun)}", tmp_path / f"run-{len(begun)}"
        shutil.copytree(cast, nodes, symlinks=True)
        for agency in CAST:
            lay_in(nodes / agency, postgres_cluster.new_database())
        directory.mkdir()
        begun.append(Story(Simulation(directory / "nodes", seed, CAST, nodes), directory))
        return begun[-1]

    yield make
    for story in begun:
        story.simulation.close()
        story.close()


def lay_in(node: Path, url: str) -> None:
    """Write the database into a node's node.toml."""
    toml = node / "node.toml"
    toml.write_text(f"database = {json.dumps(url)}\n{toml.read_text()}")


def run_node(node: Path, *, blocked: str = "") -> Typed:
    """Type `lianfang node run` in a process of its own, without one module where named."""
    program = f"import sys; sys.modules.update({{{blocked!r}: None}}); from bus.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "node", "run", "--dir", str(node), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Typed(done.returncode, done.stdout, done.stderr)


def database(story: Story, agency: str) -> str:
    """Return the name of a node's database."""
    return str(story.simulation.nodes[agency].parts.engine.url.database)


def cut(cluster: Cluster, name: str) -> None:
    """End every connection to a database, as a failover does."""
    cluster.sql("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


@contextmanager
def closed(cluster: Cluster, name: str) -> Iterator[None]:
    """Let a database take no connection meanwhile."""
    cluster.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    cut(cluster, name)
    try:
        yield
    finally:
        cluster.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def count(story: Story, agency: str, table: object) -> int:
    """Return the number of rows of a table."""
    with story.simulation.nodes[agency].parts.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def bare_order(story: Story) -> dict[str, object]:
    """Return an order as the arguments of `send`, not sent yet."""
    number = story._police.application_id()
    data = story._police.stop(number, TARGET, story.papers)
    story.orders.append(number)
    return {"data": base64.b64encode(data).decode(), "to": ["bank-b"], "profile": "tfms-police", **STOP}


def test_an_order_goes_its_whole_way(begin: Begin, tmp_path: Path) -> None:
    """Order, hand-over, answer, witness and export on PostgreSQL, nodes and key services; every log verifies."""
    story = begin("whole")
    story.order()
    story.simulation.run(120)
    story.check()
    engine = story.simulation.nodes["bank-b"].parts.engine
    assert engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    assert not list(story.simulation.federation.node("bank-b").glob("*.db"))
    sizes = story.simulation.check(tmp_path / "exports")
    mirrors = story.simulation.federation.node("auditor") / "mirrors"
    assert {path.stem for path in mirrors.glob("*.db")} == set(sizes) - {"auditor"}


@pytest.mark.parametrize(
    ("agency", "step", "happened", "crash"),
    [
        ("police-a", "outbound.commit", True, True),
        ("bank-b", "inbound.commit", False, False),
        ("bank-b", "open.redeem", True, False),
        ("bank-b", "handover.write", True, True),
        ("auditor", "inbound.commit", False, True),
    ],
)
def test_one_fault(begin: Begin, tmp_path: Path, agency: str, step: str, happened: bool, crash: bool) -> None:
    """A step that fails, or happens and is reported failed, changes nothing in what comes out."""
    story = begin(f"{agency} {step}")
    fault = Fault(agency, step, happened=happened, crash=crash)
    story.simulation.faults.planned.append(fault)
    story.order()
    story.simulation.run(180)
    assert fault.struck
    story.check()
    story.simulation.check(tmp_path / "exports")


@pytest.mark.parametrize("happened", [False, True], ids=["failed", "happened"])
def test_the_server_ends_our_backend_in_the_commit(
    begin: Begin,
    tmp_path: Path,
    postgres_cluster: Cluster,  # noqa: F811 - a fixture
    happened: bool,
) -> None:
    """Killed before or after the commit: the sender is told to look, and the same file again is sent once in all."""
    story = begin(f"cut {happened}")
    node = story.simulation.nodes["police-a"]
    arguments = bare_order(story)

    def strike(connection) -> None:
        event.remove(node.parts.engine, "commit", strike)
        held = connection.connection.dbapi_connection
        pid = held.info.backend_pid
        if happened:
            held.commit()
        postgres_cluster.sql("postgres", f"SELECT pg_terminate_backend({pid})")
        if happened:  # libpq has nothing left to say on this connection: what it would have said
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    event.listen(node.parts.engine, "commit", strike)
    send = NodeOperations(node).table()["send"]
    with pytest.raises(CommitUnknown) as unknown:
        send(POLICE, arguments)
    facts = _facts(unknown.value)
    assert (facts["code"], facts["exit"]) == ("LF-AUDIT-COMMIT-UNKNOWN", 75)
    assert facts["cause"]
    assert facts["cure"]
    again = send(POLICE, arguments)
    assert (len(again["sent"]), len(again["already_sent"])) == ((0, 1) if happened else (1, 0))
    story.simulation.run(120)
    story.check()
    story.simulation.check(tmp_path / "exports")


def test_a_failover_between_two_requests_is_not_noticed(
    begin: Begin,
    postgres_cluster: Cluster,  # noqa: F811 - a fixture
) -> None:
    """Connections that died while nobody used them refuse nobody: node and key service make new ones."""
    story = begin("failover")
    story.order()
    story.simulation.run(60)
    for agency in CAST:
        cut(postgres_cluster, database(story, agency))
    story.order()
    story.simulation.run(60)
    story.check()


def test_a_database_that_is_away_holds_and_loses_nothing(
    begin: Begin,
    postgres_cluster: Cluster,  # noqa: F811 - a fixture
) -> None:
    """Meanwhile requests get 75 with cause and cure, deliveries are held, and the queue is left as it is."""
    story = begin("away")
    story.order()
    node, police = story.simulation.nodes["bank-b"], story.simulation.nodes["police-a"]
    [row] = [row for row in police.queue.due(("urgent",), 10) if row.type_name.endswith("Order")]
    delivery = Delivery("police-a", "urgent", "stop-payment-order", row.body)
    with closed(postgres_cluster, database(story, "bank-b")):
        assert node.inbound.receive([delivery]) == [Disposition.HOLD]
        assert not node.inbound.ready()
        for work in (node.step, lambda: NodeOperations(node).table()["inbox"](POLICE, {})):
            with pytest.raises(AuditUnavailable) as refused:
                work()
            facts = _facts(refused.value)
            assert (facts["code"], facts["exit"]) == ("LF-AUDIT-UNAVAILABLE", 75)
            assert facts["cause"]
            assert "database" in facts["cure"]
    story.simulation.run(120)
    story.check()
    assert count(story, "bank-b", store.quarantine) == 0


def test_an_opening_without_the_database_gives_nothing(
    begin: Begin,
    postgres_cluster: Cluster,  # noqa: F811 - a fixture
) -> None:
    """The key service reads the leaf from PostgreSQL itself; when it cannot, nothing is opened and asking again helps."""
    story = begin("leaf")
    reader = story.simulation._readers["bank-b"]
    first = reader(0)
    assert first is not None
    assert reader(10_000) is None
    with closed(postgres_cluster, database(story, "bank-b")), pytest.raises(AuditUnavailable):
        reader(1)  # the last one asked for is remembered, any other is not
    assert reader(0) == first


def test_a_record_sent_by_another_meanwhile_is_sent_once(begin: Begin) -> None:
    """Two senders of one file meet at the commit: PostgreSQL refuses the second's rows, and it is told of the first."""
    story = begin("race")
    node = story.simulation.nodes["police-a"]
    send, arguments = NodeOperations(node).table()["send"], bare_order(story)
    steps, first = node.parts.steps, []

    @contextmanager
    def gate(name: str) -> Iterator[None]:
        if name == "outbound.commit" and not first:
            first.append(None)
            first[0] = send(POLICE, arguments)
        with steps(name):
            yield

    node.parts.steps = gate
    second = send(POLICE, arguments)
    node.parts.steps = steps
    assert [row["message_id"] for row in second["already_sent"]] == [row["message_id"] for row in first[0]["sent"]]
    assert (count(story, "police-a", store.orders), count(story, "police-a", store.fingerprints)) == (1, 1)
    story.simulation.run(120)
    story.check()


def test_foreign_words_that_no_column_takes_stop_no_batch(begin: Begin) -> None:
    """A receipt's code with NUL, a sender's name of any length, a serial beyond 63 bits: SQLite would shrug."""
    story = begin("words")
    simulation = story.simulation
    story.order()
    node, police = simulation.nodes["bank-b"], simulation.nodes["police-a"]
    [row] = [row for row in police.queue.due(("urgent",), 10) if row.type_name.endswith("Order")]
    payload = envelope_pb2.Envelope.FromString(row.body).payload

    def serial(header: envelope_pb2.Header, _: envelope_pb2.Sealed) -> None:
        header.policy_serial = 2**64 - 1

    huge = stage.signed(simulation.services["police-a"], "police-a", stage.rebuilt(row.body, serial))
    strange = Delivery("張\0" * 40, "urgent", "", b"\0", "LF-WIRE-EXCHANGE")
    order = Delivery("police-a", "urgent", "stop-payment-order", row.body)
    batch = [strange, Delivery("police-a", "urgent", "stop-payment-order", huge), order]
    assert node.inbound.receive(batch) == [Disposition.ACK] * 3
    listed = NodeOperations(node).table()["quarantine"](POLICE, {})
    assert [item["code"] for item in listed] == ["LF-SEAL-FORM", "LF-WIRE-EXCHANGE"]
    assert len(listed[1]["sender"]) == 32
    digest = sha256(payload).digest()
    receipt = workflow_pb2.Receipt(
        message_id=row.message_id,
        payload_sha256=digest,
        outcome=workflow_pb2.RECEIPT_OUTCOME_REFUSED,
        code="\0张三" * 90,
    )
    odd = stage.sealed_by(simulation, "bank-b", receipt, ("police-a",), "urgent")
    assert stage.deliver(simulation, "police-a", odd, "bank-b", "urgent", "Receipt") == Disposition.ACK
    [sent] = NodeOperations(police).table()["sent"](POLICE, {"type": "StopPaymentOrder"})
    assert (sent["deliveries"]["bank-b"]["state"], sent["deliveries"]["bank-b"]["code"]) == (
        "refused",
        "LF-CODE-WITHHELD",
    )


def test_texts_are_cut_to_their_columns() -> None:
    """`store.text` keeps what fits, as characters and not bytes, and takes out what PostgreSQL has not got."""
    cause = store.held_back.c.cause
    assert store.text("张" * 2000, cause) == "张" * 1024
    assert store.text("a\0b", cause) == "a\ufffdb"
    assert store.text("\ud800", cause) == "?"
    assert store.messages.c.recipients.type.length >= 256 * 33 - 1


def test_no_column_of_a_node_is_narrower_than_what_it_takes(begin: Begin) -> None:
    """A message to as many recipients as a header may name is kept: the widest text that others fill is wide enough."""
    story = begin("wide")
    node = story.simulation.nodes["bank-b"]
    widest = " ".join(["x" * 32] * 256)
    values = {
        column.name: 0 if column.type.python_type is int else b"" if column.type.python_type is bytes else "x"
        for column in store.messages.columns
    }
    with node.parts.write() as connection:
        connection.execute(store.messages.insert(), {**values, "message_id": bytes(16), "recipients": widest})
    with node.parts.engine.connect() as connection:
        assert connection.execute(select(store.messages.c.recipients)).scalar() == widest


def test_a_database_belongs_to_one_agency(begin: Begin) -> None:
    """A node that is pointed at another agency's database does not start, and changes nothing there."""
    story = begin("mine")
    story.simulation.crash("bank-b")  # its own it may open again
    size = story.simulation.nodes["bank-b"].parts.log.size
    directory = story.simulation.federation.node("police-a")
    story.simulation.nodes["police-a"].close()
    story.simulation.services["police-a"].close()
    url = story.simulation.nodes["bank-b"].parts.engine.url.render_as_string(hide_password=False)
    toml = directory / "node.toml"
    lines = toml.read_text().splitlines()
    toml.write_text("\n".join([f"database = {json.dumps(url)}", *lines[1:]]))
    with pytest.raises(Usage) as refused:
        story.simulation.open("police-a")
    assert (refused.value.code, "bank-b" in refused.value.cause) == ("LF-NODE-OTHER-DATABASE", True)
    assert refused.value.cure
    with story.simulation.nodes["bank-b"].parts.log.transaction():
        pass
    assert story.simulation.nodes["bank-b"].parts.log.size == size


def test_a_key_service_process_starts_on_postgresql(
    tmp_path: Path,
    cast: Path,
    postgres_cluster: Cluster,  # noqa: F811 - a fixture
) -> None:
    """The key service as its own process takes its database from node.toml, as the node does."""
    shutil.copytree(cast / "bank-b", tmp_path / "bank-b")
    lay_in(tmp_path / "bank-b", postgres_cluster.new_database())
    command = [sys.executable, "-m", "bus.keyservice", str(tmp_path / "bank-b")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        service.communicate(timeout=30)
    assert service.returncode == 0


def test_a_server_that_is_down_at_start_is_said(
    tmp_path: Path,
    cast: Path,
) -> None:
    """`node run` ends with 75, names the database and what helps, and leaves no process and no pid file behind."""
    shutil.copytree(cast / "bank-b", tmp_path / "bank-b")
    lay_in(tmp_path / "bank-b", f"postgresql+psycopg://lianfang@/none?host={tmp_path}")
    done = run_node(tmp_path / "bank-b")
    assert (done.code, done.value["code"]) == (75, "LF-NODE-NO-DATABASE")
    assert "the server is not running" in done.value["cause"]
    assert "node.toml" in done.value["cure"]
    assert not (tmp_path / "bank-b" / "node.pid").exists()


def test_a_driver_that_is_missing_is_said(tmp_path: Path, cast: Path) -> None:
    """Without psycopg, which only the extra brings, the message names the extra."""
    shutil.copytree(cast / "bank-b", tmp_path / "bank-b")
    lay_in(tmp_path / "bank-b", "postgresql+psycopg://lianfang@localhost/none")
    done = run_node(tmp_path / "bank-b", blocked="psycopg")
    assert (done.code, done.value["code"]) == (2, "LF-CONFIG-NO-DRIVER")
    assert "psycopg" in done.value["cause"]
    assert "lianfang[postgres]" in done.value["cure"]


@pytest.mark.parametrize("url", ["mysql://a@b/c", "node.db", "postgresql+asyncpg://a@b/c"])
def test_a_database_that_no_node_runs_on_is_refused(tmp_path: Path, cast: Path, url: str) -> None:
    """An address of another product, or none, is a usage error that shows the two forms."""
    shutil.copytree(cast / "bank-b", tmp_path / "bank-b")
    lay_in(tmp_path / "bank-b", url)
    done = run_node(tmp_path / "bank-b")
    assert (done.code, done.value["code"]) == (2, "LF-CONFIG-DATABASE")
    assert "postgresql+psycopg://" in done.value["cure"]


def test_no_password_of_the_database_is_shown(tmp_path: Path, cast: Path) -> None:
    """Neither the one before the host nor the one behind the question mark."""
    shutil.copytree(cast / "bank-b", tmp_path / "bank-b")
    lay_in(
        tmp_path / "bank-b", "postgresql+psycopg://lf:se%40cret@db.example/none?password=hid-den&sslmode=verify-full"
    )
    shown = lianfang("config", "show", "--dir", tmp_path / "bank-b", "--json")
    assert "cret" not in shown.out + shown.err
    assert "hid-den" not in shown.out + shown.err
    [value] = [row["value"] for row in shown.value if row["key"] == "database"]
    assert (make_url(value).host, make_url(value).query["sslmode"]) == ("db.example", "verify-full")
