"""What users do wrong, or ask twice, and what they are then told: found by playing every user of the product."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bus import config
from bus.errors import Usage
from deploy.local.broker import LocalBroker
from tests.cli.conftest import Desks, lianfang

HEADER = "Account Number,Account Name,Feature Code,Counterparty Account,Next Hop Account\n"
STATED = ("--purpose", "early_warning", "--legal-basis", "ATF18")
AUDIT = ("--purpose", "audit", "--legal-basis", "ATF5")
UNKNOWN = "0123" * 8


@pytest.fixture(scope="module")
def notice(desks: Desks, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a notice that police-a has."""
    path = tmp_path_factory.mktemp("files") / "notice.csv"
    path.write_text(
        HEADER + "6222020200112230001,张三,1001,6222020200112230003,6222020200112230005\n", encoding="utf-8"
    )
    sent = desks.json("bank-a", "send", path, "--to", "police-a", *STATED)
    message_id = str(sent["sent"][0]["message_id"])
    desks.wait(lambda: any(row["message_id"] == message_id for row in desks.json("police-a", "inbox")))
    return message_id


def test_a_file_sent_without_a_purpose_is_told_which_options_to_give(desks: Desks, tmp_path: Path) -> None:
    """A bank's file does not say what it is sent for: the cure names the two options, once, and nothing is sent."""
    path = tmp_path / "notices.csv"
    path.write_text(HEADER + "6217001180009876123,李四,1001,,\n", encoding="utf-8")
    typed = desks.at("bank-a", "send", path, "--to", "police-a", "--json")
    assert (typed.code, typed.value["code"]) == (2, "LF-SEND-NO-PURPOSE")
    assert "--purpose" in typed.value["cure"]
    assert "--legal-basis" in typed.value["cure"]
    assert len(desks.json("bank-a", "send", path, "--to", "police-a", *STATED)["sent"]) == 1


def test_a_warning_counts_rows_and_not_numbers(desks: Desks, tmp_path: Path) -> None:
    """A row with three card numbers that fail their checksum is one row with that warning."""
    path = tmp_path / "notices.csv"
    path.write_text(
        HEADER + "6222020200112230011,王五,1001,6222020200112230013,6222020200112230015\n", encoding="utf-8"
    )
    said = desks.at("bank-a", "send", path, "--to", "police-a", *STATED).out
    assert said.startswith("1 row: 1 sent")
    assert "card_checksum_bad in 1 row:" in said


@pytest.mark.parametrize("start", [b"PK\x03\x04\x14\x00\x06\x00\x08\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00"])
def test_a_workbook_under_the_name_of_a_csv_is_called_one(tmp_path: Path, start: bytes) -> None:
    """An .xlsx or .xls renamed to .csv is named as what it is, not as a text in a strange encoding."""
    path = tmp_path / "export.csv"
    path.write_bytes(start + bytes(range(256)))
    for profile, code in (("auto", "LF-FILE-WORKBOOK-DAMAGED"), ("bank-notice-csv", "LF-FILE-WORKBOOK")):
        typed = lianfang("map", "check", profile, path, "--json")
        assert (typed.code, typed.value["code"]) == (2, code)


def test_a_held_back_row_says_of_which_file(desks: Desks, tmp_path: Path) -> None:
    """Several files may have a bad row 1: the digest of the file tells them apart."""
    from hashlib import sha256  # noqa: PLC0415 - for this test alone

    path = tmp_path / "ruined.csv"
    path.write_text(HEADER + "6.22202E+18,王五,1001,,\n", encoding="utf-8")
    assert desks.at("bank-a", "send", path, "--to", "police-a", *STATED).code == 3
    assert sha256(path.read_bytes()).hexdigest() in desks.at("bank-a", "held-back").out


def test_a_refusal_for_the_legal_basis_names_an_option_that_there_is(desks: Desks, notice: str) -> None:
    """The cure is `--legal-basis`, and `policy show` lists which bases go with which purpose."""
    typed = desks.at("police-a", "open", notice, "--field", "account", "--purpose", "early_warning", "--json")
    assert (typed.code, "--legal-basis" in typed.value["cure"]) == (4, True)
    shown = desks.json("police-a", "policy", "show")
    assert "ATF26" in shown["purposes"]["early_warning"]
    assert "early_warning" in desks.at("police-a", "policy", "show").out


@pytest.mark.parametrize(
    "words",
    [("open", "{notice}", "--class", "ACOUNT_ID", *STATED), ("inbox", "--type", "Notice")],
)
def test_a_misspelt_class_or_type_is_answered_with_those_there_are(
    desks: Desks, notice: str, words: tuple[str, ...]
) -> None:
    """A class or a type that does not exist is the user's slip, and the cure lists the right ones."""
    typed = desks.at("police-a", *(word.format(notice=notice) for word in words), "--json")
    assert typed.code == 2
    assert "ACCOUNT_ID" in typed.value["cure"] or "SuspiciousAccountNotice" in typed.value["cure"]


@pytest.mark.parametrize("about", [(UNKNOWN,), ("{notice}", "--field", "acount")])
def test_who_looked_at_nothing_is_not_nobody(desks: Desks, notice: str, about: tuple[str, ...]) -> None:
    """For a message or a field that no agency holds, the answer is not found, and not that nobody has looked."""
    typed = desks.at("auditor", "audit", "who", *(word.format(notice=notice) for word in about), *AUDIT, "--json")
    assert (typed.code, typed.value["code"]) == (5, "LF-AUDIT-NO-SUBJECT")


def test_one_entry_is_proved_and_checked_from_two_files(desks: Desks, tmp_path: Path) -> None:
    """`audit prove --out` and `audit verify` go together; another entry beside the proof is exit code 7."""
    exported = tmp_path / "log"
    desks.at("police-a", "audit", "export", "--out", exported)
    proof = tmp_path / "proof"
    assert desks.at("police-a", "audit", "prove", 0, "--out", proof).code == 0
    keys = ("--vkey", exported / "vkey", "--witness", exported / "witnesses")
    checked: Any = lianfang("audit", "verify", proof, *keys, "--json")
    assert (checked.code, checked.value["ok"], checked.value["index"]) == (0, True, 0)
    assert lianfang("audit", "verify", proof, "--json").code == 2
    other = tmp_path / "other.entry"
    shutil.copy(proof, tmp_path / "other")
    other.write_bytes(proof.with_name("proof.entry").read_bytes() + b"x")
    broken = lianfang("audit", "verify", tmp_path / "other", *keys, "--json")
    assert (broken.code, broken.value["code"]) == (7, "LF-AUDIT-CHECK-FAILED")


def test_the_doctor_sees_a_node_that_goes_by_anothers_name(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agency's name changed by the environment does not fit the keys, and the doctor says so."""
    monkeypatch.setenv("LIANFANG_NODE_AGENCY", "bank-z")
    findings = desks.at("bank-b", "node", "doctor", "--json").value["findings"]
    assert {(item["name"], item["code"]) for item in findings if not item["ok"]} >= {
        ("enrolment", "LF-NODE-OTHER-NAME")
    }


@pytest.mark.parametrize("name", ["LIANFANG_NODE_BROKER__PORT", "LIANFANG_NODE_BROKR__PORT"])
def test_a_wrong_setting_of_the_environment_is_looked_for_there(tmp_path: Path, name: str) -> None:
    """What came from the environment is not blamed on node.toml."""
    (tmp_path / "node.toml").write_text('agency = "bank-b"\n', encoding="utf-8")
    with pytest.raises(Usage, match=f"environment {name}"):
        config.load(tmp_path, {name: "much"})


def test_the_brokers_log_is_found_where_the_broker_writes_it(tmp_path: Path) -> None:
    """RabbitMQ takes a relative file below its log directory, so the log may lie one level deeper."""
    deeper = tmp_path / "log" / "log"
    deeper.mkdir(parents=True)
    (deeper / "broker.log").write_text("one\ntwo\n", encoding="utf-8")
    assert LocalBroker(tmp_path).logs(1) == "two"


def test_a_node_under_a_bad_name_leaves_nothing(tmp_path: Path) -> None:
    """A name that no agency can have is refused in words, before anything is made."""
    typed = lianfang("node", "init", "Bank X", "--dir", tmp_path / "node", "--json")
    assert (typed.code, typed.value["code"]) == (2, "LF-NODE-NAME")
    assert not (tmp_path / "node").exists()
