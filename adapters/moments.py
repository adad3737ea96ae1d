"""Moments: text ⇄ Instant, with the zone from the profile and marked as such.

A format is written with yyyy, yy, MM, dd, HH, mm, ss and SSS (each exactly that many digits) and M, d, H (one or two);
years of two digits are of 1980 to 2079, as SWIFT reads them;
anything else stands for itself. `epoch_s` and `epoch_ms` are counts since 1970 in UTC, and carry their zone. `iso8601` is
a date and a time with T between them, any fraction of a second, and its offset where it has one (RFC 3339, XML Schema
dateTime), or a day with its offset; what is finer than a millisecond stays in the raw text.
"""

import datetime as dt
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.errors import ProfileRefused, RowRefused
from adapters.kinds import Notes, Read, Setting, identifier, refuse
from adapters.model import RowWarning
from schemas.v1 import common_pb2

_TOKENS = {
    "yyyy": r"(?P<year>[0-9]{4})",
    "yy": r"(?P<year>[0-9]{2})",
    "MM": r"(?P<month>[0-9]{2})",
    "dd": r"(?P<day>[0-9]{2})",
    "HH": r"(?P<hour>[0-9]{2})",
    "mm": r"(?P<minute>[0-9]{2})",
    "ss": r"(?P<second>[0-9]{2})",
    "SSS": r"(?P<milli>[0-9]{3})",
    "M": r"(?P<month>[0-9]{1,2})",
    "d": r"(?P<day>[0-9]{1,2})",
    "H": r"(?P<hour>[0-9]{1,2})",
}
_SPLIT = re.compile(r"(yyyy|yy|SSS|MM|dd|HH|mm|ss|M|d|H)")
_PARTS = ("year", "month", "day", "hour", "minute", "second", "milli")
_EPOCH = {"epoch_s": 1000, "epoch_ms": 1}
_ISO = "iso8601"
_ISO_FORM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,12}))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_ISO_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([Zz]|[+-][0-9]{2}:[0-9]{2})")
"""A day with its offset (XML Schema date)."""
_OFFSET_H_MAX = 14
_CENTURY_FROM = 80
"""Two-digit years from here on are of the 1900s (SWIFT User Handbook, formats)."""
_DAY_MS = 86_400_000
_DAY_AND_CLOCK = re.compile(r"[^ HmsS]*[yMd][^ HmsS]*( [Hm:]*H[Hm:]*:ss)?")
"""A form of a day, with or without the hour, minutes and seconds behind a blank."""
_SECONDS = {**{f":{second:02}": second * 1000 for second in range(60)}}
_REMEMBERED_MAX = 4096
"""Most days, and minutes of a day, that are remembered for one field."""
_VALUE, _PROFILE = common_pb2.ZONE_SOURCE_VALUE, common_pb2.ZONE_SOURCE_PROFILE
_PRECISION = {
    "day": common_pb2.TIME_PRECISION_DAY,
    "hour": common_pb2.TIME_PRECISION_MINUTE,
    "minute": common_pb2.TIME_PRECISION_MINUTE,
    "second": common_pb2.TIME_PRECISION_SECOND,
    "milli": common_pb2.TIME_PRECISION_MILLISECOND,
}
_UTC = dt.UTC


Reader = Callable[[str, Notes], dict[str, Any] | None]
"""Reads an Instant of one format; None where a text has not that format."""
Again = Callable[[str], dict[str, Any] | None]
"""Reads an Instant whose day, and minute of the day, have been read before; None where they have not."""


def _bad(formats: list[str]) -> tuple[str, str, str]:
    return (
        "LF-ROW-DATE",
        "does not hold a date and time that exists",
        f"correct it at the source; it is written {' or '.join(formats)}",
    )


@cache
def zone_of(name: str) -> ZoneInfo:
    """Return a zone by its IANA name. ProfileRefused when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ProfileRefused(
            f"the time zone {name} is not known on this machine", cure="install the package tzdata"
        ) from error


@cache
def _compiled(form: str) -> tuple[re.Pattern[str], tuple[str, ...], int]:
    pattern = "".join(_TOKENS.get(piece, re.escape(piece)) for piece in _SPLIT.split(form) if piece)
    compiled = re.compile(pattern)
    names = tuple(compiled.groupindex)
    finest = max(names, key=_PARTS.index)
    return compiled, names, _PRECISION[finest]


@lru_cache(maxsize=8192)
def _midnight_ms(year: int, month: int, day: int, zone: ZoneInfo) -> tuple[int, bool]:
    """Return local midnight in UTC, and whether the whole day has one offset."""
    midnight = dt.datetime(year, month, day, tzinfo=zone)
    offset = midnight.utcoffset()
    even = all(midnight.replace(hour=hour).utcoffset() == offset for hour in (2, 3, 12, 23)) and (
        midnight.replace(fold=1).utcoffset() == offset
    )
    return int(midnight.timestamp()) * 1000, even


def read_instant(setting: Setting) -> Read:
    """An Instant."""
    return instants(setting)[0]


def instants(setting: Setting) -> tuple[Read, Again | None]:
    """Return what reads an Instant, and what knows those of the first format whose day and minute it has read before."""
    formats = setting.verbs.parse.formats
    zone = zone_of(setting.profile.source.zone or "UTC")
    zone_name = setting.profile.source.zone or "UTC"
    both = [
        (_epoch(_EPOCH[form]), None)
        if form in _EPOCH
        else (_iso(setting.path, zone, zone_name), None)
        if form == _ISO
        else _local(setting.path, form, zone, zone_name)
        for form in formats
    ]
    readers = [reader for reader, _ in both]
    again = both[0][1]
    if len(readers) == 1:
        only = readers[0]

        def read_only(text: str, notes: Notes) -> dict[str, Any]:
            found = only(text, notes) or only(identifier(text), notes)
            if found is None:
                raise refuse(_bad(formats))
            return found

        return read_only, again

    first = readers[0]

    def read(text: str, notes: Notes) -> dict[str, Any]:
        found = first(text, notes)  # as nearly every text of a file that keeps to its form
        if found is not None:
            return found
        bare = identifier(text)
        for reader in readers:
            found = reader(bare, notes)
            if found is not None:
                return found
        raise refuse(_bad(formats))

    return read, again


def _epoch(factor: int) -> Reader:
    precision = common_pb2.TIME_PRECISION_SECOND if factor > 1 else common_pb2.TIME_PRECISION_MILLISECOND

    def read(text: str, _: Notes) -> dict[str, Any] | None:
        if not (text.isascii() and text.isdecimal()) or len(text) > 13:  # noqa: PLR2004 - the year 2286 in ms
            return None
        return {
            "utc_ms": int(text) * factor,
            "precision": precision,
            "zone_source": _VALUE,
            "zone": "UTC",
            "raw": text,
        }

    return read


def _iso(path: str, zone: ZoneInfo, zone_name: str) -> Reader:
    local, _ = _local(path, "yyyy-MM-ddTHH:mm:ss", zone, zone_name)
    utc, _ = _local(path, "yyyy-MM-ddTHH:mm:ss", zone_of("UTC"), "UTC")

    utc_day, _ = _local(path, "yyyy-MM-dd", zone_of("UTC"), "UTC")

    def read(text: str, notes: Notes) -> dict[str, Any] | None:
        form, day = _ISO_FORM.fullmatch(text), _ISO_DAY.fullmatch(text)
        if form is not None:
            clock, fraction, offset = form[1].upper(), form[2], (form[3] or "").upper()
            found = (utc if offset else local)(clock, notes)
        elif day is not None:
            fraction, offset = None, day[2].upper()
            found = utc_day(day[1], notes)
        else:
            return None
        assert found is not None, "the form is the same"
        if offset not in ("", "Z"):
            hours, minutes = int(offset[1:3]), int(offset[4:])
            if hours > _OFFSET_H_MAX or minutes > 59:  # noqa: PLR2004 - minutes of an hour
                raise refuse(_bad([_ISO]))
            east_ms = (hours * 60 + minutes) * 60_000
            found["utc_ms"] += east_ms if offset[0] == "-" else -east_ms
        if offset:
            found |= {"zone_source": _VALUE, "zone": "UTC" if offset == "Z" else offset}
        if fraction:
            found["utc_ms"] += int(f"{fraction}00"[:3])
            found["precision"] = common_pb2.TIME_PRECISION_MILLISECOND
        return found | {"raw": text}

    return read


def _write_iso(zone_name: str, value: Any) -> str:
    """Return the text that it was read from, where that still says the same; else the moment in UTC."""
    read = _iso("", zone_of(zone_name or "UTC"), zone_name or "UTC")
    try:
        found = read(value.raw, [])
    except RowRefused:
        found = None
    if found is not None and found["utc_ms"] == value.utc_ms:
        return str(value.raw)
    moment = dt.datetime.fromtimestamp(value.utc_ms // 1000, tz=_UTC).replace(tzinfo=None)
    fine = value.utc_ms % 1000 or value.precision == common_pb2.TIME_PRECISION_MILLISECOND
    return f"{moment.isoformat(timespec='seconds')}{f'.{value.utc_ms % 1000:03}' if fine else ''}Z"


def _remembering(precision: int, zone_name: str, *, clock: bool) -> tuple[Again, Callable[[str, int, int], None]]:
    """Return what knows days, and minutes of a day, that come again and again, and what has it learn one."""
    days: dict[str, int] = {}
    minutes: dict[str, int] = {}
    seconds = _SECONDS

    def day_again(text: str) -> dict[str, Any] | None:
        if text not in days:
            return None
        return {
            "utc_ms": days[text],
            "precision": precision,
            "zone_source": _PROFILE,
            "zone": zone_name,
            "raw": text,
        }

    def clock_again(text: str) -> dict[str, Any] | None:
        day, _, hands = text.partition(" ")
        minute, second = hands[:-3], hands[-3:]
        if day not in days or minute not in minutes or second not in seconds:
            return None
        return {
            "utc_ms": days[day] + minutes[minute] + seconds[second],
            "precision": precision,
            "zone_source": _PROFILE,
            "zone": zone_name,
            "raw": text,
        }

    def learn(text: str, midnight: int, minute_ms: int) -> None:
        day, _, hands = text.partition(" ")
        if len(days) < _REMEMBERED_MAX and len(minutes) < _REMEMBERED_MAX:
            days[day] = midnight
            minutes[hands[:-3]] = minute_ms

    return clock_again if clock else day_again, learn


def _local(path: str, form: str, zone: ZoneInfo, zone_name: str) -> tuple[Reader, Again | None]:
    pattern, names, precision = _compiled(form)
    short = "yy" in _SPLIT.findall(form)
    match_whole = pattern.fullmatch
    in_order = names == _PARTS[: len(names)]
    comes_again = _DAY_AND_CLOCK.fullmatch(form)
    known, learn = _remembering(precision, zone_name, clock=bool(comes_again and comes_again[1]))
    again = known if comes_again is not None else None

    def read(text: str, notes: Notes) -> dict[str, Any] | None:
        before = again(text) if again is not None else None
        if before is not None:
            return before
        found = match_whole(text)
        if found is None:
            return None
        year, month, day, *clock = _numbers(found, names, in_order=in_order)
        if short:
            year += 1900 if year >= _CENTURY_FROM else 2000
        hour, minute, second, milli = (*clock, 0, 0, 0, 0)[:4]
        if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - a clock's hands
            raise refuse(_bad([form]))
        try:
            midnight, even = _midnight_ms(year, month, day, zone)
        except (ValueError, OverflowError) as error:
            raise refuse(_bad([form])) from error
        at = midnight + hour * 3_600_000 + minute * 60_000 + second * 1000 + milli
        if not even and clock:
            at = _uneven_day(dt.datetime(year, month, day, hour, minute, second, tzinfo=zone), path, notes) + milli
        elif again is not None:
            learn(text, midnight, (hour * 60 + minute) * 60_000)
        return {"utc_ms": at, "precision": precision, "zone_source": _PROFILE, "zone": zone_name, "raw": text}

    return read, again


def _numbers(found: re.Match[str], names: tuple[str, ...], *, in_order: bool) -> list[int]:
    """Return the parts of a moment, the year first."""
    numbers = list(map(int, found.groups()))
    if in_order:
        return numbers
    by_name = dict(zip(names, numbers, strict=True))
    return [by_name.get(part, 0) for part in _PARTS]


def _uneven_day(moment: dt.datetime, path: str, notes: Notes) -> int:
    """Return a moment on a day whose clocks changed; noted when it stands twice or never on the clock."""
    if moment.utcoffset() != moment.replace(fold=1).utcoffset():
        notes.append(
            RowWarning("time_ambiguous", path, "the clocks changed at that hour; the earlier reading is taken")
        )
    return int(moment.timestamp()) * 1000


def write_instant(form: str, zone_name: str, value: Any) -> str:
    """Return an Instant as the local clock shows it."""
    if form in _EPOCH:
        return str(value.utc_ms // _EPOCH[form])
    if form == _ISO:
        return _write_iso(zone_name, value)
    moment = dt.datetime.fromtimestamp(value.utc_ms // 1000, tz=_UTC).astimezone(zone_of(zone_name or "UTC"))
    parts = {
        "yyyy": f"{moment.year:04}",
        "yy": f"{moment.year % 100:02}",
        "MM": f"{moment.month:02}",
        "dd": f"{moment.day:02}",
        "HH": f"{moment.hour:02}",
        "mm": f"{moment.minute:02}",
        "ss": f"{moment.second:02}",
        "SSS": f"{value.utc_ms % 1000:03}",
        "M": str(moment.month),
        "d": str(moment.day),
        "H": str(moment.hour),
    }
    return "".join(parts.get(piece, piece) for piece in _SPLIT.split(form))


_DURATION = (
    re.compile(r"(?:(?P<h>[0-9]{1,4}):)?(?P<m>[0-9]{1,2}):(?P<s>[0-9]{1,2})"),
    re.compile(r"(?:(?P<h>[0-9]{1,4})(?:小时|时))?(?:(?P<m>[0-9]{1,2})分钟?)?(?:(?P<s>[0-9]{1,6})秒?)?"),
)


def read_duration(_: Setting) -> Read:
    """Seconds: a whole number, 1:02:03, or 1小时2分3秒."""

    def read(text: str, _notes: Notes) -> int:
        bare = identifier(text)
        for pattern in _DURATION:
            found = pattern.fullmatch(bare)
            if found is not None and bare:
                hours, minutes, seconds = (int(found[part] or 0) for part in ("h", "m", "s"))
                return hours * 3600 + minutes * 60 + seconds
        raise refuse(
            (
                "LF-ROW-DURATION",
                "does not hold a duration",
                "correct it at the source: seconds, or hours:minutes:seconds",
            )
        )

    return read
