"""Call records: the lines of one number become one message."""

import pytest

from adapters import groups
from adapters.convert import convert
from adapters.model import Converted, HeldBack
from schemas import checks
from schemas.v1 import telecom_pb2
from tests.adapters.files import DEMO, profile, read

HEADER = "本机号码,主叫号码,被叫号码,起始时间,通话时长,通信方式,基站,IMEI,IMSI"


def line(subject: str, **changes: str) -> str:
    """Return one call."""
    cells = {"主叫号码": subject, "被叫号码": "19900000009", "起始时间": "2026-11-20 10:00:00", "通话时长": "61", "通信方式": "主叫", "基站": "", "IMEI": "860000000000021", "IMSI": "460000000000021"}  # fmt: skip
    return ",".join([subject, *(cells | changes).values()])


def calls(*lines: str) -> list[Converted | HeldBack]:
    """Return every outcome of a file of calls."""
    return read("\n".join((HEADER, *lines, "")).encode("gb18030"), "telecom-cdr-csv")


def test_lines_gather_by_number_however_they_are_written():
    """Lines of one number gather in the order of the file; the bytes of all of them are the record's own."""
    a, b = line("19900000001"), line("19900000002")
    first, second = calls(a, b, line("19900000001 ", 起始时间="2026-11-20 11:00:00"))
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    assert first.message.number.e164 == "+8619900000001"
    assert [call.started_at.raw[11:13] for call in first.message.calls] == ["10", "11"]
    assert (first.record, first.line, second.record, second.line) == (1, 2, 2, 3)
    assert first.raw == f"{a}\n{line('19900000001 ', 起始时间='2026-11-20 11:00:00')}\n".encode("gb18030")
    checks.require_valid_record(first.message)


def test_a_bad_line_is_its_own_record():
    """A line that cannot be read is held back alone; the number's other calls are sent."""
    bad, good = calls(line("19900000001"), line("19900000001", 起始时间="2026-11-20 33:00:00"), line("19900000001"))
    assert isinstance(bad, HeldBack)
    assert (bad.code, bad.line) == ("LF-ROW-DATE", 3)
    assert isinstance(good, Converted)
    assert len(good.message.calls) == 2


@pytest.mark.parametrize(("count", "sizes"), [(1024, [1024]), (1025, [1024, 1])])
def test_a_message_holds_so_many_calls_and_no_more(count, sizes):
    """A number with more calls than a message holds gets another message."""
    found = calls(*[line("19900000001")] * count)
    assert [len(item.message.calls) for item in found] == sizes


def test_waiting_lines_have_a_limit(monkeypatch):
    """When too many lines wait, the oldest number's record is finished, so memory does not grow with the file."""
    monkeypatch.setattr(groups, "BUFFERED_MAX", 4)
    found = calls(*[line(f"1990000000{number % 3}") for number in range(9)])
    assert sum(len(item.message.calls) for item in found) == 9
    assert [len(item.message.calls) for item in found] == [2, 2, 2, 1, 1, 1]


def test_the_words_of_call_bills_are_read():
    """Durations in words or with colons, directions, nulls that are fifteen zeros, short codes, forwarded calls."""
    (found,) = calls(
        line("19900000001", 通话时长="1小时2分3秒", IMEI="000000000000000"),
        line("19900000001", 通话时长="0:59", 通信方式="被叫", 主叫号码="95588"),
        line("19900000001", 通话时长="1:00:00", 通信方式="呼叫转移"),
        line("19900000001", 通话时长="-", 通信方式="三方"),
    )
    assert isinstance(found, Converted)
    first, second, third, fourth = found.message.calls
    assert [first.duration_s, second.duration_s, third.duration_s] == [3723, 59, 3600]
    assert not fourth.HasField("duration_s")
    assert first.imei == ""
    assert second.calling.raw == "95588"
    assert [call.direction for call in found.message.calls] == [
        telecom_pb2.CALL_DIRECTION_OUTGOING,
        telecom_pb2.CALL_DIRECTION_INCOMING,
        telecom_pb2.CALL_DIRECTION_FORWARDED,
        telecom_pb2.CALL_DIRECTION_UNSPECIFIED,
    ]
    assert [warning.code for warning in found.warnings] == ["code_unknown"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"通话时长": "long"}, "LF-ROW-DURATION"),
        ({"IMEI": "8.6E+14"}, "LF-ROW-PATTERN"),
        ({"起始时间": ""}, "LF-ROW-MISSING"),
        ({"被叫号码": "1.99E+10"}, "LF-ROW-LOSSY-NUMBER"),
    ],
)
def test_a_call_that_cannot_be_read_is_held_back(changes, code):
    """A word for a duration, a ruined device number or number, no time."""
    (found,) = calls(line("19900000001", **changes))
    assert isinstance(found, HeldBack)
    assert found.code == code


def test_lineage_leads_to_each_call():
    """Each call's fields lead back to its own line."""
    (found,) = calls(line("19900000001"), line("19900000001"))
    assert isinstance(found, Converted)
    starts = [(item.field, item.line) for item in found.lineage if item.field.endswith("started_at")]
    assert starts == [("calls[0].started_at", 2), ("calls[1].started_at", 3)]
    assert [item.field for item in found.lineage].count("number") == 1


def test_the_demos_calls_are_read_whole():
    """The file of the demonstration gives two messages and nothing is held back or odd."""
    found = list(convert(profile("telecom-cdr-csv"), (DEMO / "telecom-c-calls.csv").read_bytes()))
    assert [len(item.message.calls) for item in found] == [8, 3]
    assert all(item.warnings == () for item in found)
    assert found[0].message.number.e164 == "+862166660110"
