"""The short way of reading a cell gives what the long way gives, or nothing."""

import random
from importlib import resources
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import adapters
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import RowRefused
from adapters.kinds import id_checksum_valid, luhn_valid
from adapters.model import Converted
from adapters.plan import Plan, Step, compile_plan
from adapters.profile import Profile
from tests.adapters.files import profile

TABLES = [one.name for one in adapters.profiles().values() if one.file.source.format in ("csv", "xlsx")]
_DATES = st.builds(
    "{}{}{:02}{}{:02}{}{}".format,
    st.sampled_from(["2024", "1991", "1986"]),
    st.sampled_from(["-", "/", ""]),
    st.integers(0, 13),
    st.sampled_from(["-", "/", ""]),
    st.integers(0, 32),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "08:59:01", "0:30:00", "00:30", "23:59:60", "235959", "23:59:59.5"]),
)
_TEXTS = st.one_of(
    st.text("0123456789.,-+ Xx*'\"=Ee¥$元٣１\u200b\t", max_size=24),
    st.from_regex(r"[1-9][0-9]{14,19}", fullmatch=True),
    st.from_regex(r"1[0-9]{10}", fullmatch=True),
    st.from_regex(r"[0-9]{0,19}\.[0-9]{0,4}", fullmatch=True),
    _DATES,
    st.sampled_from(["6299990001000000770", "6299990001000000771", "110000197102111017", "11010519491231002X"]),
    st.sampled_from(["11010519491231002x", "６２２２", "", "-", "无", "0", "000000000000000", "19900000077\t"]),
)


def _plan(name: str) -> Plan:
    one: Profile = profile(name)
    columns = list(dict.fromkeys((*one.file.source.columns, *one.file.source.preamble)))
    assert one.file.target is not None
    places = {column: place for place, column in enumerate(columns) if column not in _asides(one)}
    return compile_plan(one, one.file.target.message, one.file.field, places, columns)


def _asides(one: Profile) -> set[str]:
    """Return the columns that say something of another column's cell; a file may lack them."""
    parses = [verbs.parse for verbs in one.file.field.values()]
    return {parse.currency_from for parse in parses} | {parse.year_from for parse in parses}


PLANS = {name: _plan(name) for name in TABLES}


def _same(step: Step, short: Any, text: str) -> bool:
    """Say whether the short way found anything; what it finds is what the long way finds, and that notes nothing."""
    found = short(text)
    if found is None:
        return False
    cells, notes = [""] * (step.places[0] + 1), []  # type: ignore[var-annotated]
    cells[step.places[0]] = text
    assert step.fill(cells, notes) == found, (step.path, text)
    assert notes == []
    return True


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(_TEXTS, min_size=1, max_size=12))
@example(texts=["2024-05-06", "2024-05-06", "2024-05-06 08:59:01", "2024-05-06 08:59:02", "1991-04-14 00:30:00"] * 2)
def test_says_what_the_long_way_says(name: str, texts: list[str]) -> None:
    """Whatever a cell holds, and whatever stood in the rows before, in every table that we know."""
    plan = PLANS[name]
    for short, place, _, _, _, _, step in plan._order:
        if short is None:
            continue
        assert place == step.places[0]
        words = list(step.verbs.map.table) if step.verbs.map is not None else []
        for text in (*texts, *texts, *words):
            _same(step, short, text)
            try:
                step.fill(["" if at != place else text for at in range(place + 1)], [])
            except RowRefused:
                continue


def test_most_fields_of_a_notice_have_one_and_take_it() -> None:
    """Of a notice as banks write it the short way reads all but a name and free text; a date once it has been read."""
    taken = set()
    texts = ("6299990001000000770", "110000197102111017", "19900000077", "3006", "77.77", "2024-06-22", "支出", "12")
    for short, place, fill, _, _, _, step in PLANS["bank-notice-csv"]._order:
        for text in texts:
            cells = [""] * place + [text]
            if short is None or (step.kind == "instant" and text != "2024-06-22"):
                continue
            if step.kind == "instant" and step.path == "opened_at":
                fill(cells, [])
            if _same(step, short, text):
                taken.add(step.path)
    assert taken >= {
        "account",
        "holder",
        "holder_phone",
        "features",
        "opened_at",
        "balance",
        "transactions[0].direction",
    }
    assert taken >= {"transactions[0].amount", "next_hops[0]", "transactions[0].counterparty"}
    assert "holder.name" not in taken


def test_what_is_given_again_and_again_is_filled_up_by_nobody() -> None:
    """A word's value that another field is put into is made anew for each row: one row's text never shows in the next."""
    text = (resources.files("adapters") / "profiles" / "bank-notice-csv.toml").read_text("utf-8")
    filled_up = text.replace('[field."narrative"]\n', '[field."action_taken.raw"]\n')
    assert filled_up != text
    data = ["账号,可疑特征,已采取措施,备注"]
    data += [
        f"6299990001000000770,3006,{action},{remark}" for action, remark in (("限额", "甲"), ("限额", ""), ("关注", ""))
    ]
    found = list(convert(load(filled_up), "\n".join([*data, ""]).encode()))
    assert [outcome.message.action_taken.raw for outcome in found if isinstance(outcome, Converted)] == [
        "甲",
        "限额",
        "关注",
    ]


def _weighed(number: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))
    return "10X98765432"[total % 11] == number[17]


def _doubled(number: str) -> bool:
    values = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return sum(value // 10 + value % 10 for value in values) % 10 == 0


def test_check_digits_are_those_of_the_standards() -> None:
    """Both check digits come out as they do by the standards' own sums, for every length of number."""
    chance = random.Random(7)
    for _ in range(3000):
        digits = "".join(chance.choices("0123456789", k=chance.randint(1, 24)))
        assert luhn_valid(digits) is _doubled(digits)
        number = "".join(chance.choices("0123456789", k=17)) + chance.choice("0123456789X")
        assert id_checksum_valid(number) is _weighed(number)
