"""A full disk under a node: each request gets a clear error, nothing is half-done, and work goes on once there is space."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bus.errors import BusError
from bus.transport.topology import Topology
from deploy.demo.federation import wait_until
from deploy.local.broker import LocalBroker
from tests.faults.house import House, cast
from tests.faults.orders import check_none_lost_none_twice, is_taken, ledger_lines, make_orders, send, wait_at_rest
from tests.faults.small_disk import Disk, LimitedDisk, MountedDisk, may_mount

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(250)]
CODES = {"LF-AUDIT-UNAVAILABLE", "LF-AUDIT-COMMIT-UNKNOWN"}
Full = tuple[House, dict[str, Disk]]


@pytest.fixture(params=["mounted", "limited"])
def full(request: pytest.FixtureRequest, broker: LocalBroker, tmp_path: Path) -> Iterator[Full]:
    """Give a house whose police-a and bank-b have disks that can be filled."""
    suffix = f"-t{uuid.uuid4().hex[:10]}"
    with ExitStack() as stack:
        mounted: dict[str, Disk] = {}
        if request.param == "mounted":
            for role in ("police-a", "bank-b"):
                disk = MountedDisk.mount(tmp_path / "nodes" / (role + suffix)) if may_mount() else None
                if disk is None:
                    pytest.skip("mounting is not allowed here; the other variant needs no right")
                stack.callback(disk.unmount)
                mounted[role] = disk
        broker.admit(Topology(tuple(sorted(cast(suffix)))))
        house = House(tmp_path, broker, int(broker.status()["ports"]["amqps"]), suffix)
        stack.callback(house.stop)
        limited = {role: LimitedDisk(lambda role=role: house.nodes[role].pid) for role in ("police-a", "bank-b")}
        yield house, mounted or limited


def _written(house: House) -> tuple[int, ...]:
    """Count what a sending would leave."""
    tables = ("messages where direction = 'out'", "fingerprints", "orders", "lineage")
    return tuple(int(house.rows("police-a", f"select count(*) from {table}")[0][0]) for table in tables)


def test_a_full_disk_refuses_and_loses_nothing(full: Full) -> None:
    """On a full disk the sender is refused in clear words and nothing is written; the receiver holds; then all is done once."""
    house, disks = full
    orders = make_orders(house, 9)
    house.start()
    house.wait_connected()
    assert len(send(house, orders[0].data)["sent"]) == 1
    wait_at_rest(house, 60.0)

    disks["police-a"].fill()
    before = _written(house)
    for order in orders[1:4]:
        with pytest.raises(BusError) as caught:
            send(house, order.data)
        assert caught.value.code in CODES, caught.value.cause
        assert caught.value.exit_code == 75
        assert "the disk" in caught.value.cause
        assert "disk's space" in caught.value.cure
    assert _written(house) == before
    assert house.call("police-a", "status")["agency"] == house.name("police-a")
    disks["police-a"].free()

    for order in orders[1:4]:
        assert wait_until(lambda data=order.data: is_taken(house, data), 20.0, 0.2), house.said()
    wait_at_rest(house, 60.0)

    disks["bank-b"].fill()
    decided = ledger_lines(house.core.ledger)
    for order in orders[4:]:
        assert len(send(house, order.data)["sent"]) == 1
    time.sleep(5.0)
    assert house.call("bank-b", "status")["agency"] == house.name("bank-b")
    assert ledger_lines(house.core.ledger) == decided
    disks["bank-b"].free()
    wait_at_rest(house, 90.0)
    check_none_lost_none_twice(house, orders)
    house.verified_logs()
