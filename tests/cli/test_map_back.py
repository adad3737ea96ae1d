"""`lianfang map back`: messages into local formats."""

import json

from tests.adapters.files import DEMO, NEXT, ORDERS, notice, record
from tests.cli.conftest import lianfang


def test_a_bank_file_goes_out_and_comes_back(tmp_path):
    """Convert, back, convert: the same messages, provenance apart; the report says that nothing is lost."""
    first, local, again = tmp_path / "a.jsonl", tmp_path / "b.csv", tmp_path / "c.jsonl"
    lianfang("map", "convert", "auto", DEMO / "bank-a-suspicious-accounts.csv", "--out", first)
    typed = lianfang("map", "back", "bank-notice-csv", first, "--out", local, "--json")
    assert (typed.code, typed.value["messages"], typed.value["written"]) == (0, 13, 13)
    assert typed.value["files"] == [str(local)]
    assert all(item["loss"] == item["added"] == [] for item in typed.value["report"])
    assert lianfang("map", "convert", "auto", local, "--out", again).code == 0
    one, other = ([json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in (first, again))
    for message in (*one, *other):
        message.pop("provenance")
    assert one == other


def test_orders_are_one_file_each_and_what_is_lost_is_named(tmp_path):
    """Two orders become two files; a mandate, which the bank's dialect has not, is named; a line that is none is refused."""
    lines = []
    for code in ("00101", "00201"):
        (tmp_path / "x").write_bytes(record(f"2{code}", ORDERS[code]))
        lines.append(lianfang("map", "convert", "auto", tmp_path / "x").out)
    whole = json.loads(lines[1])
    whole["case_context"]["mandate"] = "M1"
    messages = tmp_path / "m.jsonl"
    messages.write_text(f"{lines[0]}{json.dumps(whole)}\n{{}}\n", "utf-8")
    typed = lianfang("map", "back", "tfms-bank", messages, "--out", tmp_path / "o.xml", "--json")
    assert (typed.code, typed.value["messages"], typed.value["written"]) == (3, 3, 2)
    assert [item["loss"] for item in typed.value["report"]] == [[], ["case_context.mandate"], []]
    assert typed.value["report"][2]["code"] == "LF-MAP-NO-MESSAGE"
    assert b"<TxCode>100201<" in (tmp_path / "o-2.xml").read_bytes()
    assert lianfang("map", "back", "tfms-bank", messages).code == 2


def test_without_out_the_file_is_on_standard_output(tmp_path):
    """The table goes to standard output, the report to standard error; a message for which the dialect has no record says so."""
    (tmp_path / "x").write_bytes(notice(账号=NEXT))
    (tmp_path / "m").write_text(lianfang("map", "convert", "auto", tmp_path / "x").out, "utf-8")
    typed = lianfang("map", "back", "bank-notice-csv", tmp_path / "m")
    assert (typed.code, NEXT in typed.out) == (0, True)
    assert typed.err == "bank-notice-csv: 1 message, 1 written\n"
    typed = lianfang("map", "back", "tfms-bank", tmp_path / "m", "--json")
    assert (typed.code, typed.value["report"][0]["code"]) == (3, "LF-RENDER-NO-RECORD")


def test_a_dialect_that_is_only_read_is_refused_at_once(tmp_path):
    """Not message by message: one refusal with cause and cure, before any line is looked at, and nothing is written."""
    (tmp_path / "m").write_text("no message at all\n{}\n", "utf-8")
    typed = lianfang("map", "back", "telecom-cdr-csv", tmp_path / "m", "--out", tmp_path / "o", "--json")

    assert typed.value["code"] == "LF-RENDER-READ-ONLY"
    assert "telecom-cdr-csv is only read" in typed.value["cause"]
    assert "map list" in typed.value["cure"]
    assert not (tmp_path / "o").exists()
    assert lianfang("map", "back", "telecom-cdr-csv", tmp_path / "m").err.startswith("error LF-RENDER-READ-ONLY")
