"""What each sealing suite costs in bytes and CPU, all in one interleaved run (docs/adr/0008-suites.md); the rival is suite 1.

The same notice as in bench_sealing.py: all its fields, four compartments, three recipients. Suite 4 runs where its
provider is installed.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bus.sealing import signatures, sm2
from bus.sealing.batch import signature_holds
from bus.sealing.split import join
from bus.sealing.suites import SUITES
from bus.sealing.verify import verify
from schemas.v1 import notice_pb2
from tests.keyservice.house import NOW_MS, House, build, notice, seal_request
from tests.sealing.with_suites import use_suite

ROUNDS = 9
MESSAGES = 64
BATCHES = (1, 8, 64)
_Row = tuple[float, float, float]


def run() -> list[dict[str, Any]]:
    """Return bytes a message, and microseconds of CPU to seal and to open one, by suite and batch."""
    numbers = [number for number, suite in SUITES.items() if not suite.signs_with_sm2 or sm2.is_available()]
    with tempfile.TemporaryDirectory() as place:
        houses = {number: _house(Path(place) / str(number), number) for number in numbers}
        taken: dict[tuple[int, int], list[_Row]] = {}
        try:
            for _ in range(ROUNDS):
                for number, house in houses.items():
                    for batch in BATCHES:
                        taken.setdefault((number, batch), []).append(_measure(house, batch))
        finally:
            for house in houses.values():
                house.close()
    medians = {key: [statistics.median(column) for column in zip(*rows, strict=True)] for key, rows in taken.items()}
    return [
        {
            "name": f"suites: {what}, suite {number}, batch {batch}",
            "ours": round(values[at], 1),
            "rival": "suite 1",
            "rival_value": round(medians[1, batch][at], 1),
            "unit": unit,
            "ratio": round(medians[1, batch][at] / values[at], 3),
            "goal": 0.0,
        }
        for (number, batch), values in medians.items()
        for at, (what, unit) in enumerate(
            (("seal", "us CPU/message"), ("open", "us CPU/message"), ("size", "bytes/message"))
        )
    ]


def _house(place: Path, number: int) -> House:
    place.mkdir()
    house = build(place)
    if number != 1:
        use_suite(house, number)
    first = house.services["bank-a"].seal([seal_request(999)])[0]
    house.services["police-a"].admit(verify(first, house.directory, NOW_MS).payload)
    return house


def _measure(house: House, batch: int) -> _Row:
    requests = [seal_request(at, notice(f"622848{at:06d}"), inline_grant=False) for at in range(MESSAGES)]
    directory, envelopes = house.directory, list[bytes]()
    sealer, reader = house.services["bank-a"], house.services["police-a"]

    def seal() -> None:
        for at in range(0, MESSAGES, batch):
            envelopes.extend(sealer.seal(requests[at : at + batch]))

    def open_all() -> None:
        for envelope in envelopes:
            parsed = verify(envelope, directory, NOW_MS)
            join(notice_pb2.SuspiciousAccountNotice, parsed.public_body, reader._grants.open(parsed).plains)

    sealing = _cpu_us(seal)
    for remembered in (signature_holds, signatures.ml_dsa_65_holds, sm2.holds):
        remembered.cache_clear()
    return sealing, _cpu_us(open_all), _mean_size(envelopes)


def _mean_size(envelopes: Sequence[bytes]) -> float:
    return sum(map(len, envelopes)) / len(envelopes)


def _cpu_us(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / MESSAGES * 1e6


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
