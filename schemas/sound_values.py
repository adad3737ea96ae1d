"""Whether the values that a message was made of break no check: the shortest way round schemas/checks.py.

- A reader fills nested dicts, which protobuf takes whole. Looking into dicts costs a third of looking into the message.
- It asks what schemas/sound.py asks of the message. Where it is not certain it says no, and the message itself is asked:
  a value of another Python type than its field's, a word for an enumeration's value, a rule that has no form here.
- It says nothing of whether protobuf takes the values: ask once the message has been made of them, and not changed since.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from schemas.rules import RULES, Test
from schemas.sound import UTF8_BYTES_MAX, check_of, form_of, is_narrow, reached, scalar_of
from schemas.v1 import common_pb2

Values = Mapping[str, Any]

_OF_LETTERS = re.compile(r"\[0-9A-Za-z[^]\\]*\]\{1,([0-9]+)\}")
"""A pattern that takes up to so many letters and digits, among others."""
_SHA256_BYTES = 32
_TELLS_MORE = frozenset({"balance_after", "counterparty_balance_after", "ip", "mac", "device", "teller"})
_E164 = common_pb2.PHONE_KIND_E164


def _hidden_unmarked(account: Values) -> bool:
    return "*" in account.get("number", "") and not account.get("masked")


def _e164_disagrees(phone: Values) -> bool:
    return bool(phone.get("e164")) is not (phone.get("kind") == _E164)


def _tells_more(notice: Values) -> bool:
    for movement in notice.get("transactions", ()):  # noqa: SIM110 - a loop is faster here than any()
        if not _TELLS_MORE.isdisjoint(movement):
            return True
    return False


def _negative_amount(holder: Values) -> bool:
    return "amount" in holder and bool(holder["amount"].get("minor_units", 0) < 0)


def _no_digest(source: Values) -> bool:
    return len(source.get("source_sha256", b"")) not in (0, _SHA256_BYTES)


BROKEN: dict[str, Test] = {
    "AccountRef.masked.number": _hidden_unmarked,
    "PhoneRef.e164.kind": _e164_disagrees,
    "Provenance.source_sha256.length": _no_digest,
    "SuspiciousAccountNotice.transactions.apart": _tells_more,
    "TransactionRecord.amount.negative": _negative_amount,
}
"""Rules across fields (schemas/rules.py) as they are asked of values: true where the rule is broken, or may be."""


def sound_values(message: Any, values: Values, later: str = "") -> bool:
    """Say whether a message that was made of these values certainly breaks no check. The field `later` is checked later."""
    kind: Any = type(message)
    try:
        return _sound_by_kind(kind, later)(values)
    except (TypeError, AttributeError):  # a value of a type that is not looked at here
        return False


@cache
def _sound_by_kind(kind: Any, later: str) -> Test:
    return _sound_of(kind.DESCRIPTOR, later)


@cache
def _sound_of(descriptor: Descriptor, later: str = "") -> Test:
    rules = [rule.id for rule in RULES if rule.message == descriptor.name]
    if not BROKEN.keys() >= set(rules):
        return lambda _values: False
    broken = [BROKEN[rule] for rule in rules]
    return _narrow(descriptor, broken) if is_narrow(descriptor) and not later else _broad(descriptor, broken, later)


def _broad(descriptor: Descriptor, broken: list[Test], later: str) -> Test:
    asked = {field.name: _field(field) for field in descriptor.fields}
    needed = frozenset(field.name for field in descriptor.fields if check_of(field).required and field.name != later)

    def is_sound(values: Values) -> bool:
        if needed and not values.keys() >= needed:
            return False
        for name, value in values.items():
            ask = asked[name]
            if ask is not None and not ask(value):
                return False
        for rule in broken:  # noqa: SIM110 - a loop is faster here than any()
            if rule(values):
                return False
        return True

    return is_sound


def _narrow(descriptor: Descriptor, broken: list[Test]) -> Test:
    """Return the checks of a narrow type as one function, written out as dataclasses write theirs: names are looked up once."""
    lines, given = list[str](), dict[str, Any]()
    for field in descriptor.fields:
        lines += _written(field, given)
    for number, rule in enumerate(broken):
        given[f"broken_{number}"] = rule
        lines.append(f"if broken_{number}(values): return False")
    body = "".join(f"    {line}\n" for line in (*lines, "return True"))
    exec(f"def is_sound(values):\n{body}", given)  # noqa: S102 - all that is put into it is names and numbers of our own descriptors
    found: Test = given["is_sound"]
    return found


def _written(field: FieldDescriptor, given: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that ask a field of a narrow type, and put what they call into `given`."""
    name, check, ask = field.name, check_of(field), _field(field)
    if ask is None:
        return
    given[f"ask_{name}"] = ask
    if check.required:
        yield f"if {name!r} not in values: return False"
    else:
        yield f"if {name!r} in values:"
    indent = "" if check.required else "    "
    yield f"{indent}value = values[{name!r}]"
    yield f"{indent}if {_spared(field, given)}not ask_{name}(value): return False"


def _spared(field: FieldDescriptor, given: dict[str, Any]) -> str:
    """Return what must hold for a value to be asked at all; nearly none must."""
    check = check_of(field)
    if field.is_repeated or field.message_type is not None:
        return ""
    of_letters = _OF_LETTERS.fullmatch(check.pattern)
    if of_letters is not None:
        return f"not (len(value) <= {int(of_letters[1])} and value.isalnum() and value.isascii()) and "
    form = form_of(field)
    if form is not None and check.pattern:
        given[f"known_{field.name}"] = form[0]
        return f"value not in known_{field.name} and "
    if not check.max_bytes:
        return ""
    least, limit = int(check.required), check.max_bytes
    return (
        f"not {least} <= len(value) <= {limit // UTF8_BYTES_MAX} and "
        f"not ({least} <= len(value) <= {limit} and value.isascii()) and "
    )


def _field(field: FieldDescriptor) -> Test | None:
    """Return what is asked of the value of a field that is given; None where that is nothing."""
    check = check_of(field)
    one: Test | None = None
    if field.message_type is not None:
        one = _inner(field)
    elif field.enum_type is not None:
        if check.required or form_of(field) is not None:
            one = lambda value: type(value) is int and value > 0  # noqa: E731 - chosen here
    else:
        one = scalar_of(field)
    if not field.is_repeated:
        return _given(one) if one is not None and check.required and field.message_type is not None else one
    return _of_all(one, most=check.max_items, required=check.required)


def _given(ask: Test) -> Test:
    """Return what asks a message that must be there."""
    return lambda value: bool(value) and ask(value)


def _of_all(each: Test | None, *, most: int, required: bool) -> Test | None:
    if each is None and not most and not required:
        return None

    def all_sound(values: Any) -> bool:
        if (required and not values) or (most and len(values) > most):
            return False
        if each is not None:
            for value in values:
                if not each(value):
                    return False
        return True

    return all_sound


def _inner(field: FieldDescriptor) -> Test:
    """Return what is asked of the values of a message in a field. Where types hold one another it is compiled at the first."""
    inner, outer = field.message_type, field.containing_type
    assert inner is not None, "asked before"
    assert outer is not None, "only extensions have none"
    if outer not in reached(inner):
        return _sound_of(inner)
    return lambda values: _sound_of(inner)(values)  # noqa: PLW0108 - not before it is asked
