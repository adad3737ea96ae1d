"""A federation whose policy bundle says under which suites messages are sealed."""

import shutil
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from bus.policy.author import build_body
from bus.sealing.verify import VerifiedEnvelope, verify
from schemas.v1 import federation_pb2
from tests.keyservice.house import AGENCIES, NOW_MS, POLICY, House


@cache
def _body(previous: bytes, serial: int, use: int, allowed: tuple[int, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        rows = Path(place) / "policy"
        shutil.copytree(POLICY, rows)
        (rows / "sealing.yaml").write_text(f"use: {use}\nallowed: {list(allowed)}\nwhy: a test\n")
        return build_body(rows, serial, previous, NOW_MS - 1000, NOW_MS + 90 * 86_400_000)


def use_suite(house: House, use: int, *allowed: int, agencies: tuple[str, ...] = tuple(AGENCIES)) -> House:
    """Bring a successor of the house's bundle into force: seal under `use`, take that one and those allowed."""
    before = federation_pb2.PolicyBundle.FromString(house.policy).body
    serial = federation_pb2.PolicyBundleBody.FromString(before).serial + 1
    body = _body(sha256(before).digest(), serial, use, tuple(sorted({use, *allowed})))
    policy = house.sign("policy", body, "centre", "police-a")
    for agency in agencies:
        house.services[agency].install_policy(policy)
    return house


def take(house: House, envelope: bytes, agency: str = "police-a") -> VerifiedEnvelope:
    """Receive as a node does; SealingError when it is refused."""
    parsed = verify(envelope, house.directory, NOW_MS)
    assert house.services[agency].admit(parsed.payload) == ""
    return parsed
