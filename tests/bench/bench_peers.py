"""What sealing costs beside what peers do with a notice of as many fields, all interleaved in one run.

CPU time of this process, the median of paired rounds. Ours: a SuspiciousAccountNotice of all its fields in four compartments;
a peer's: 25 texts, ten of them classed, in four compartments (peers.py). Envelopes alone: no grant is inlined, as after the
first message to an audience.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from bus.sealing.batch import signature_holds
from bus.sealing.plan import compartments
from bus.sealing.split import join
from bus.sealing.verify import verify
from schemas.v1 import notice_pb2
from tests.bench.peers import filled, notice_type, peers
from tests.keyservice import house as houses

ROUNDS, BATCH, PEER_BATCH = 9, 64, 8
RECIPIENTS = (1, 3, 10)
_CLASSES = (
    ("ACCOUNT_ID", "MONEY_FLOW"),
    ("IDENTITY", "PHONE_ID", "CONTACT"),
    ("BALANCE", "RISK"),
    ("DEVICE_NET", "NARRATIVE", "CASE_META"),
)
_GOALS = {  # against Confluent, the peer that does most nearly the same
    ("seal", BATCH): 40.0,
    ("open", BATCH): 25.0,
    ("seal", 1): 15.0,
    ("open", 1): 12.0,
}


def run() -> list[dict[str, Any]]:
    """Return microseconds of CPU a message, ours and each peer's, for 1, 3 and 10 recipients."""
    rows: list[dict[str, Any]] = []
    kind = None
    for count in RECIPIENTS:
        names = {f"reader-{number}": "police" for number in range(count)}
        with tempfile.TemporaryDirectory() as place, mock.patch.dict(houses.AGENCIES, names):
            house = houses.build(Path(place))
            try:
                ours = {size: _ours(house, sorted(names), size) for size in (BATCH, 1)}
                kind = kind or notice_type()
                rows += _rows(ours, count, [filled(kind, number) for number in range(PEER_BATCH)], kind)
            finally:
                house.close()
    return rows


def _ours(house: houses.House, readers: Sequence[str], size: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return sealing and opening 64 notices in batches of a size."""
    audiences = {name: frozenset(readers) for classes in _CLASSES for name in classes}
    # Four compartments: each but the first is the centre's too, or the other police's, so that no two audiences are the same.
    for classes, more in zip(_CLASSES, (set(), {"centre"}, {"police-b"}, {"centre", "police-b"}), strict=True):
        audiences |= {name: frozenset({*readers, *more}) for name in classes}
    requests = [
        houses.seal_request(
            number,
            houses.notice(f"622848{number:06d}"),
            inline_grant=False,
            recipients=tuple(sorted({*readers, "centre", "police-b"})),
            compartments=compartments(audiences),
        )
        for number in range(BATCH)
    ]
    sender, receiver, directory = house.services["bank-a"], house.services[readers[0]], house.directory
    first = sender.seal([replace(requests[0], inline_grant=True)])[0]
    receiver.admit(verify(first, directory, houses.NOW_MS).payload)

    def seal() -> list[bytes]:
        return [item for at in range(0, BATCH, size) for item in sender.seal(requests[at : at + size])]

    envelopes = seal()

    def open_() -> None:
        signature_holds.cache_clear()
        for envelope in envelopes:
            parsed = verify(envelope, directory, houses.NOW_MS)
            join(notice_pb2.SuspiciousAccountNotice, parsed.public_body, receiver._grants.open(parsed).plains)

    return seal, open_


def _rows(ours: dict[int, Any], recipients: int, messages: list[Any], kind: Any) -> list[dict[str, Any]]:
    rows = []
    for peer in peers(kind, recipients):
        sealed = [peer.seal(message) for message in messages]
        assert [peer.open(data) for data in sealed] == messages, peer.name
        theirs = {
            "seal": lambda peer=peer: [peer.seal(message) for message in messages],
            "open": lambda peer=peer, sealed=sealed: [peer.open(data) for data in sealed],
        }
        for size, both in ours.items():
            for at, what in enumerate(("seal", "open")):
                goal = _GOALS[what, size] if peer.name.startswith("Confluent") else 0.0
                name = f"peers: {what}, batch {size}, to {recipients}"
                rows.append(_paired(name, both[at], peer.name, theirs[what], goal))
    return rows


def _paired(
    name: str, ours: Callable[[], object], rival: str, theirs: Callable[[], object], goal: float
) -> dict[str, Any]:
    taken = []
    for _ in range(ROUNDS):
        mine, other = _cpu_us(ours) / BATCH, _cpu_us(theirs) / PEER_BATCH
        taken.append((mine, other, other / mine))
    mine, other, ratio = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "name": name,
        "ours": round(mine, 1),
        "rival": rival,
        "rival_value": round(other, 1),
        "unit": "us CPU/message",
        "ratio": round(ratio, 2),
        "goal": goal,
    }


def _cpu_us(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e6
