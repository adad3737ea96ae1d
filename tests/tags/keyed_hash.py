"""Why a plain keyed hash of telephone numbers hides nothing from whoever has its key, and what our tags cost instead.

`python -m tests.tags.keyed_hash [DIGITS]`: a number is hashed; whoever holds the key tries all numbers that end in so many other
digits, one after the other on one core, and finds it. docs/match-tags.md shows a run.
"""

import hmac
import secrets
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from bus.randomness import SystemRandomness
from bus.tags import group, voprf
from bus.tags.normalise import Value
from bus.tags.tag import prf_input

MOBILE_NUMBERS = 54 * 10**8
"""Mobile numbers that China can give out: 54 beginnings of three digits in use, eight digits behind each."""
DIGITS = 6


def keyed(key: bytes, number: str) -> bytes:
    """Return what a federation would share that hashed numbers under one key which all its members hold."""
    return hmac.digest(key, number.encode(), sha256)[:16]


def found(key: bytes, shared: bytes, prefix: str, digits: int) -> tuple[str, float]:
    """Return the number behind a keyed hash, and how many numbers were tried in a second."""
    started = time.perf_counter()
    for tried in range(10**digits):
        number = f"{prefix}{tried:0{digits}d}"
        if keyed(key, number) == shared:
            return number, (tried + 1) / (time.perf_counter() - started)
    raise ValueError("the number is not in that range")


def costs(count: int = 64) -> dict[str, float]:
    """Return milliseconds a value: blinding, one authority's evaluation with its proof, checking both proofs and joining."""
    random = SystemRandomness()
    shares = [group.random_scalar(random) for _ in range(2)]
    texts = [prf_input(Value("phone", f"+8613800{number:06d}"), "2026Q4") for number in range(count)]
    blinded, blinding = _timed(lambda: [voprf.blind(text, group.random_scalar(random)) for text in texts])
    elements = [item.element for item in blinded]
    made, evaluating = _timed(lambda: [voprf.evaluate(share, elements, random) for share in shares])

    def finish() -> None:
        for share, evaluation in zip(shares, made, strict=True):
            voprf.verify(voprf.public_key(share), elements, evaluation)
        for item, whole in zip(blinded, voprf.joined(made[0].elements, made[1].elements), strict=True):
            voprf.finalize(item, whole)

    _, finishing = _timed(finish)
    return {"blind": blinding / count, "evaluate": evaluating / 2 / count, "finish": finishing / count}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    made = work()
    return made, (time.perf_counter() - started) * 1000


def main(digits: int = DIGITS) -> int:
    """Find a number by its keyed hash, and print what that took and what tags cost."""
    prefix = "+8613800138000"[: 14 - digits]
    number = f"{prefix}{secrets.randbelow(10**digits):0{digits}d}"
    key = secrets.token_bytes(32)
    guessed, rate = found(key, keyed(key, number), prefix, digits)
    print(f"keyed hash: {'found' if guessed == number else 'not found'}, {rate:,.0f} numbers a second on one core")
    print(
        f"            all {MOBILE_NUMBERS:,} mobile numbers: {MOBILE_NUMBERS / rate / 3600:.1f} hours on one core, once for all"
    )
    for name, milliseconds in costs().items():
        print(f"match tag:  {name} {milliseconds:.2f} ms a value")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
