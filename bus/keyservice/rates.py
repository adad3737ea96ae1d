"""How much the key service gives in a time, so that a node that was taken over pours out only so much before it is seen.

- Openings: so many a minute for one person, as the log entry names the person, and so many for all and for services.
- Seals a second; blind values a minute, which a thief of them would make to try numbers; data at rest a minute.
- Each is a bucket that fills evenly. A call that comes while its bucket is empty is refused and nothing is done: whoever
  asked may ask again (exit code 75). Settings: [keys.limits] of node.toml.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from audit import leaf as leaf_format
from audit.errors import AuditError
from bus.clock import Clock
from bus.config import KeyLimits
from bus.errors import Retry
from bus.keyservice.protocol import OpenRequest

_MINUTE_S = 60.0
_ACTORS_MAX = 4096
"""Persons remembered; the one who asked longest ago is forgotten first, and has a full bucket then."""


class _Bucket:
    """Holds at most `most`, and fills to that within `seconds`."""

    def __init__(self, most: int, seconds: float, now_s: float) -> None:
        self._most, self._per_s = most, most / seconds
        self._level, self._at_s = float(most), now_s

    def is_empty(self, now_s: float) -> bool:
        self._level = min(self._most, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return self._level <= 0

    def take(self, count: int) -> None:
        """Take, into debt if need be: a batch larger than what is left is served once, and waited for after."""
        self._level -= count


@dataclass(frozen=True)
class _Rule:
    """Which setting bounds a call, in how many seconds, and how much one call counts."""

    setting: str
    seconds: float
    count: Callable[[Sequence[Any]], int] = lambda _: 1


_RULES = {
    "open": _Rule("all_opens_per_minute", _MINUTE_S),
    "disclose": _Rule("all_opens_per_minute", _MINUTE_S),
    "open_shipment": _Rule("all_opens_per_minute", _MINUTE_S),
    "unprotect": _Rule("unprotects_per_minute", _MINUTE_S),
    "seal": _Rule("seals_per_second", 1.0, lambda arguments: len(arguments[0])),
    "blind": _Rule("blinds_per_minute", _MINUTE_S, lambda arguments: len(arguments[1])),
    "blind_messages": _Rule("blinds_per_minute", _MINUTE_S, lambda arguments: len(arguments[1])),
    "subject_values": _Rule("blinds_per_minute", _MINUTE_S),
}
_REQUEST_AT = {"open": 0, "disclose": 1}
"""Which argument names the entry, and with it the person."""


class Rates:
    """Counts calls. Its caller lets one call through at a time."""

    def __init__(self, limits: KeyLimits, clock: Clock, read_leaf: Callable[[int], bytes | None]) -> None:
        self._limits = limits
        self._clock = clock
        self._read_leaf = read_leaf
        now_s = clock.monotonic_s()
        self._all = {
            rule.setting: _Bucket(getattr(limits, rule.setting), rule.seconds, now_s) for rule in _RULES.values()
        }
        self._persons: OrderedDict[bytes, _Bucket] = OrderedDict()

    def admit(self, method: str, arguments: Sequence[Any]) -> None:
        """Count a call. Retry when there were too many, and then it does not count."""
        rule = _RULES.get(method)
        if rule is None:
            return
        now_s = self._clock.monotonic_s()
        taken = [(rule.setting, self._all[rule.setting])]
        if method in _REQUEST_AT:
            taken += self._person(arguments[_REQUEST_AT[method]], now_s)
        for setting, bucket in taken:
            if bucket.is_empty(now_s):
                raise _busy(setting, getattr(self._limits, setting))
        for _, bucket in taken:
            bucket.take(rule.count(arguments))

    def _person(self, request: OpenRequest, now_s: float) -> list[tuple[str, _Bucket]]:
        """Return the bucket of the person whom the entry of an opening names; a service has none of its own."""
        data = self._read_leaf(request.log_index)
        try:
            entry = leaf_format.decode(data or b"")
        except AuditError:
            return []  # there is no such entry: the service itself refuses that
        if entry.system:
            return []
        bucket = self._persons.pop(entry.actor, None)
        if bucket is None:
            bucket = _Bucket(self._limits.opens_per_minute, _MINUTE_S, now_s)
        self._persons[entry.actor] = bucket
        if len(self._persons) > _ACTORS_MAX:
            self._persons.popitem(last=False)
        return [("opens_per_minute", bucket)]


def _busy(setting: str, limit: int) -> Retry:
    return Retry(
        f"the key service has given as much as {setting} allows ({limit})",
        cure=f"wait a little; if the work needs more, set {setting} under [keys.limits] of the key service",
        code="LF-KEYS-BUSY",
    )
