"""A node whose certificate the broker does not take: it says why and what to do, keeps its work, and goes on once cured."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from deploy.demo.federation import wait_until
from deploy.local.certificates import CLIENT, Authority, Identity
from tests.faults.house import House
from tests.faults.orders import make_orders, send

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(200)]
WAIT_S = 45.0


def _lay(identity: Identity, node: Path) -> None:
    """Put certificate and key where the node looks for them; the authority that it trusts stays."""
    for source, name in ((identity.certificate, "cert.pem"), (identity.key, "key.pem")):
        (node / "tls" / name).write_bytes(source.read_bytes())


def _expired(house: House, name: str, folder: Path) -> None:
    now = datetime.now(UTC)
    validity = (now - timedelta(days=30), now - timedelta(days=1))
    identity = house.broker.authority().issue(folder, name, [x509.DNSName(name)], CLIENT, validity)
    _lay(identity, house.node("police-a"))


def _of_another_authority(house: House, name: str, folder: Path) -> None:
    _lay(Authority.open(folder / "stranger").agency(name), house.node("police-a"))


def _revoked(house: House, name: str, folder: Path) -> None:
    house.broker.revoke(name)


def _say(house: House) -> dict[str, dict[str, str]]:
    trouble: dict[str, dict[str, str]] = house.call("police-a", "status")["transport"]["trouble"]
    return trouble


@pytest.mark.parametrize("spoil", [_expired, _of_another_authority, _revoked], ids=["expired", "unknown", "revoked"])
def test_a_refused_certificate_is_said_and_cured(
    house: House, tmp_path: Path, spoil: Callable[[House, str, Path], None]
) -> None:
    """A node with a certificate that does not hold is refused, says so with cause and cure, and works with a right one."""
    name, node = house.name("police-a"), house.nodes["police-a"]
    order = make_orders(house, 1)[0]
    spoil(house, name, tmp_path / "spoilt")
    node.start()
    assert wait_until(lambda: len(_say(house)) == 5, WAIT_S), house.said()
    for trouble in _say(house).values():
        assert trouble["code"] == "LF-TLS-REFUSED", trouble
        assert "certificate" in trouble["cause"]
        assert "expiry" in trouble["cure"]
    assert not any(house.call("police-a", "status")["transport"]["connected"].values())
    said = [event for event in house.log_events("police-a") if event.get("code") == "LF-TLS-REFUSED"]
    assert said
    assert all(event["cause"] and event["cure"] for event in said)
    assert len(send(house, order.data)["sent"]) == 1  # taken, and kept for later
    house.broker.authority().install(name, house.node("police-a"))
    node.stop()
    node.start()
    assert wait_until(lambda: house.is_connected("police-a"), WAIT_S), house.said()
    assert _say(house) == {}

    def is_confirmed() -> bool:
        query = "select state, count(*) from outbox where type like '%StopPaymentOrder' group by state"
        return house.counts("police-a", query) == {"confirmed": 1}

    assert wait_until(is_confirmed, WAIT_S), house.said()
