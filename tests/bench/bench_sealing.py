"""What sealing costs beside signing the same message in the clear (DESIGN §11), both sides interleaved in one run.

Figures are CPU time of this process (the machine may be busy with other things), the median of paired rounds. In the
socket rows both ends run in this process, so that the CPU of both counts.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign_open

from bus.keyservice.client import KeyClient
from bus.keyservice.server import Server
from bus.sealing.batch import signature_holds
from bus.sealing.split import join
from bus.sealing.verify import verify
from schemas.v1 import notice_pb2
from tests.keyservice.house import NOW_MS, House, build, notice, seal_request

ROUNDS = 15
BATCH = 64
SEAL_GOAL, OPEN_GOAL = 1 / 1.3, 1 / 0.7
"""At most 1.3 times the cost of signing, at most 0.7 times that of verifying: as ratios, rival over ours."""
Work = Callable[[], object]


@dataclass(frozen=True)
class _Pair:
    name: str
    ours: Work
    rival: str
    rival_work: Work
    goal: float
    count: int = BATCH


def run() -> list[dict[str, Any]]:
    """Return microseconds of CPU a message: sealing and opening a notice of all its fields in four compartments for three."""
    with tempfile.TemporaryDirectory() as place:
        house = build(Path(place))
        servers = [Server(house.services[name], Path(place) / f"{name}.sock") for name in ("bank-a", "police-a")]
        for server in servers:
            server.listen()
        clients = [KeyClient(Path(place) / f"{name}.sock") for name in ("bank-a", "police-a")]
        try:
            return [_measure(pair) for pair in [*_seal_pairs(house, clients[0]), *_open_pairs(house, clients[1])]]
        finally:
            for closing in (*clients, *servers, house):
                closing.close()


def _messages() -> list[notice_pb2.SuspiciousAccountNotice]:
    return [notice(f"622848{number:06d}") for number in range(BATCH)]


def _seal_pairs(house: House, client: KeyClient) -> list[_Pair]:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    messages = _messages()
    service = house.services["bank-a"]
    requests = [seal_request(number, message, inline_grant=False) for number, message in enumerate(messages)]
    service.seal(requests)

    def sign_clear() -> None:
        for message in messages:
            key.sign(message.SerializeToString())

    def one_by_one() -> None:
        for request in requests:
            service.seal([request])

    clear = "Ed25519 (cryptography) in the clear"
    return [
        _Pair("sealing: seal, batch 64", lambda: service.seal(requests), clear, sign_clear, SEAL_GOAL),
        _Pair("sealing: seal, batch 1", one_by_one, clear, sign_clear, 0.0),
        _Pair(
            "sealing: seal through the socket, batch 64",
            lambda: client.seal(requests),
            clear,
            sign_clear,
            0.0,
        ),
    ]


def _open_pairs(house: House, client: KeyClient) -> list[_Pair]:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = key.public_key().public_bytes_raw()
    signed = [(key.sign(data), data) for data in (message.SerializeToString() for message in _messages())]
    sender, receiver, directory = house.services["bank-a"], house.services["police-a"], house.directory
    requests = [seal_request(number, message, inline_grant=False) for number, message in enumerate(_messages())]
    first = sender.seal([seal_request(99)])[0]
    receiver.admit(verify(first, directory, NOW_MS).payload)
    together = sender.seal(requests)
    alone = [sender.seal([request])[0] for request in requests]

    def verify_clear() -> None:
        for signature, data in signed:
            crypto_sign_open(signature + data, public)
            notice_pb2.SuspiciousAccountNotice.FromString(data)

    def open_all(envelopes: list[bytes]) -> None:
        signature_holds.cache_clear()
        for envelope in envelopes:
            parsed = verify(envelope, directory, NOW_MS)
            join(notice_pb2.SuspiciousAccountNotice, parsed.public_body, receiver._grants.open(parsed).plains)

    def admit_all() -> None:
        signature_holds.cache_clear()
        for envelope in together:
            client.admit(verify(envelope, directory, NOW_MS).payload)

    def verify_openssl() -> None:
        for signature, data in signed:
            openssl.verify(signature, data)
            notice_pb2.SuspiciousAccountNotice.FromString(data)

    openssl = key.public_key()
    clear, strict = "Ed25519 (cryptography), parsing", "Ed25519 (libsodium), parsing"
    through = "sealing: verify and admit through the socket"
    return [
        _Pair("sealing: open, batch 64", lambda: open_all(together), clear, verify_openssl, OPEN_GOAL),
        _Pair("sealing: open, batch 64 (strict rival)", lambda: open_all(together), strict, verify_clear, 0.0),
        _Pair("sealing: open, batch 1", lambda: open_all(alone), clear, verify_openssl, 0.0),
        _Pair(through, admit_all, clear, verify_openssl, 0.0),
    ]


def _measure(pair: _Pair) -> dict[str, Any]:
    taken = []
    for _ in range(ROUNDS):
        ours, rival = _cpu_us(pair.ours) / pair.count, _cpu_us(pair.rival_work) / pair.count
        taken.append((ours, rival, rival / ours))
    ours, rival, ratio = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "name": pair.name,
        "ours": round(ours, 1),
        "rival": pair.rival,
        "rival_value": round(rival, 1),
        "unit": "us CPU/message",
        "ratio": round(ratio, 3),
        "goal": round(pair.goal, 3),
    }


def _cpu_us(work: Work) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e6


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
