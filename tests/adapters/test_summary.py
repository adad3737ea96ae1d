"""What a person or a command is told of a file."""

import json

import pytest

from adapters import summary
from adapters.convert import convert
from adapters.errors import FileRefused
from tests.adapters.files import DEMO, NOTICE_ROW, ORDERS, PAPERS, notice, profile, record


def test_the_demos_export_is_told_as_it_is():
    """Fourteen rows: thirteen messages, one with a warning, and the ruined one held back with cause and cure."""
    found = summary.check("auto", (DEMO / "bank-a-suspicious-accounts.csv").read_bytes())
    assert (found["profile"], found["rows_in"], found["messages"]) == ("bank-notice-csv", 14, 13)
    ((refused),) = found["refused"]
    assert (refused["row"], refused["line"], refused["code"]) == (10, 14, "LF-ROW-LOSSY-NUMBER")
    assert refused["cause"]
    assert refused["cure"]
    ((warning),) = found["warnings"]
    assert (warning["row"], warning["code"], warning["field"]) == (7, "id_checksum_bad", "holder.id_number")
    assert found["counts"] == {"LF-ROW-LOSSY-NUMBER": 1, "id_checksum_bad": 1}


def test_a_message_that_breaks_a_check_counts_as_refused():
    """What the language refuses is no message, and its rule is the code."""
    cells = list(NOTICE_ROW)
    cells[1] = "户" * 100
    found = summary.check("bank-notice-csv", notice(tuple(cells), NOTICE_ROW))
    assert (found["rows_in"], found["messages"]) == (2, 1)
    assert [item["code"] for item in found["refused"]] == ["PersonRef.name.max_bytes"]


def test_an_unknown_profile_is_refused():
    """A profile that nobody knows is told, whatever the file."""
    with pytest.raises(FileRefused) as error:
        summary.check("no-such", notice())
    assert error.value.code == "LF-MAP-UNKNOWN-PROFILE"


def test_a_line_holds_message_lineage_and_warnings():
    """Each message is one line of JSON with where each value came from."""
    tally = summary.Tally()
    (converted,) = tally.over(convert(profile("bank-notice-csv"), notice(账号="6299990000001000019")))
    line = summary.json_line(converted)
    assert "\n" not in line
    whole = json.loads(line)
    assert whole["type"] == "lianfang.v1.SuspiciousAccountNotice"
    assert whole["message"]["balance"]["minor_units"] == "123456"
    assert {"field", "record", "line", "column", "raw", "verb", "start", "end"} == set(whole["lineage"][0])
    assert [warning["code"] for warning in whole["warnings"]] == ["card_checksum_bad"]
    assert tally.as_json()["rows_in"] == 1


def test_every_profile_is_listed():
    """The list names each profile with what it makes and whether it also writes."""
    rows = {row["name"]: row for row in summary.listed()}
    assert rows["tfms-bank"]["writes"]
    assert rows["bank-notice-csv"]["writes"]
    assert not rows["telecom-cdr-csv"]["writes"]
    assert rows["shaken-passport"]["messages"] == "SpoofedCallReport"


def test_of_a_very_large_table_the_beginning_says_what_it_is_and_a_tree_is_seen_whole(monkeypatch):
    """A table whose end is no text at all is known by its first lines; an order that is cut there is not, so it is read on."""
    monkeypatch.setattr(summary, "DETECTED_WHOLE_MAX", 512)
    table = notice(*[NOTICE_ROW] * 20) + b"\xff\xff\n"
    chosen = summary.identify_in(table).chosen
    assert chosen is not None
    assert chosen.profile == "bank-notice-csv"
    order = record("200101", ORDERS["00101"], PAPERS)
    assert len(order) > summary.DETECTED_WHOLE_MAX
    assert summary.detect_in(order) == "tfms-police"
    monkeypatch.setattr(summary, "TREE_BYTES_MAX", len(order) - 1)
    assert summary.identify_in(order).chosen is None
