"""Where randomness enters: one seam, so that simulations and vectors can set it."""

import os
from typing import Protocol


class Randomness(Protocol):
    """Gives unpredictable bytes."""

    def bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        ...


class SystemRandomness:
    """The operating system's generator (getrandom(2)); safe across fork."""

    def bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return os.urandom(count)


def uuid7(now_ms: int, randomness: Randomness) -> bytes:
    """Return a UUID version 7 (RFC 9562 section 5.7) as 16 bytes: time in milliseconds, then random bits."""
    noise = randomness.bytes(10)
    high = now_ms.to_bytes(6, "big")
    return high + bytes([0x70 | (noise[0] & 0x0F), noise[1], 0x80 | (noise[2] & 0x3F)]) + noise[3:10]
