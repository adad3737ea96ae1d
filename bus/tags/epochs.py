"""Epochs of tag keys: quarters of the year, named alike by both authorities, so that nobody has to agree on anything. Pure.

- An epoch's shares are announced a week before it begins; during its first two weeks values get two tags, the old epoch's
  too, so that whoever still looks with old tags finds them; then the old shares are destroyed.
- `2026Q4-2` is a second epoch of the same quarter, for when a share may have been stolen: it begins when it is announced.
- The epoch stands in what is hashed: a tag copied from one into the other is no value's tag.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from bus.tags.group import Element

PATTERN = r"[0-9]{4}Q[1-4](-[2-9])?"
"""How an epoch is named."""
OVERLAP_MS = 14 * 86_400_000
"""How long the epoch before stays in use beside the present one."""
AHEAD_MS = 7 * 86_400_000
"""How long before its begin an epoch's keys are announced."""
AUTHORITIES = 2
"""Holders of shares."""
_QUARTERS = 4


@dataclass(frozen=True)
class KeySet:
    """Both authorities' public keys for an epoch, and from when to when they are used (milliseconds since 1970)."""

    epoch: str
    keys: tuple[tuple[str, Element], ...]
    not_before_ms: int
    not_after_ms: int

    @property
    def id(self) -> bytes:
        """Name both keys: tags are compared only where these are the same, so no authority can show each member another."""
        told = b"".join(name.encode() + b"\0" + key for name, key in sorted(self.keys))
        return sha256(b"lianfang/1 tag keys\0" + self.epoch.encode() + b"\0" + told).digest()[:8]


def quarter(at_ms: int) -> str:
    """Return the name of the quarter that a moment lies in."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at.year}Q{(at.month - 1) // 3 + 1}"


def span(epoch: str) -> tuple[int, int]:
    """Return when a quarter begins, and until when its shares live: its end and the overlap."""
    year, number = int(epoch[:4]), int(epoch[5])
    begin = datetime(year, 3 * number - 2, 1, tzinfo=UTC)
    end = datetime(year + number // _QUARTERS, 3 * (number % _QUARTERS) + 1, 1, tzinfo=UTC)
    return int(begin.timestamp() * 1000), int(end.timestamp() * 1000) + OVERLAP_MS


def in_use(sets: Sequence[KeySet], now_ms: int) -> list[KeySet]:
    """Return the sets that values get tags under now: the present one and, during the overlap, the one before; newest first."""
    begun = sorted(
        (held for held in sets if held.not_before_ms <= now_ms <= held.not_after_ms),
        key=lambda held: (held.not_before_ms, held.epoch),
        reverse=True,
    )
    if len(begun) > 1 and now_ms < begun[0].not_before_ms + OVERLAP_MS:
        return begun[:2]
    return begun[:1]


def successor(epoch: str) -> str:
    """Return the name of the next epoch of the same quarter."""
    number = int(epoch[7:] or 1) + 1 if len(epoch) > 6 else 2  # noqa: PLR2004 - "2026Q4" has six characters
    return f"{epoch[:6]}-{number}"
