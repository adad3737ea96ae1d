"""Commands typed at a running federation, by the people of its agencies."""

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from audit.verify import verify_proof
from deploy.demo.federation import CASE, wait_until
from tests.cli.conftest import Desks, lianfang

ACCOUNT = "6222020200112230019"
NEXT_HOP = "6217001180009876123"
HOLDER = "张三丰"
HEADER = "Account Number,Account Name,Feature Code,Balance,Next Hop Account\n"
GOOD = f"{ACCOUNT},{HOLDER},1001,8123.45,{NEXT_HOP}\n"
RUINED = "6.22202E+18,李四,1001,1.00,\n"
PLANTED = (ACCOUNT, NEXT_HOP, HOLDER, "8123.45", "812345")
STATED = ("--purpose", "early_warning", "--legal-basis", "ATF18")


@pytest.fixture(scope="module")
def notice(desks: Desks, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a notice that police-a has."""
    path = tmp_path_factory.mktemp("files") / "notices.csv"
    path.write_text(HEADER + GOOD, encoding="utf-8")
    sent = desks.json("bank-a", "send", path, "--to", "police-a,centre", *STATED)
    assert (sent["rows_in"], len(sent["sent"])) == (1, 1)
    message_id = sent["sent"][0]["message_id"]
    desks.wait(lambda: any(row["message_id"] == message_id for row in desks.json("police-a", "inbox")))
    return str(message_id)


def entries(desks: Desks) -> int:
    return int(desks.json("police-a", "node", "status")["log"]["entries"])


def openings_since(desks: Desks, before: int) -> list[dict[str, Any]]:
    """Return the entries since then by which a person opened something or was refused it."""
    found = [desks.json("police-a", "audit", "leaf", index) for index in range(before, entries(desks))]
    return [leaf for leaf in found if leaf["action"] == "ACTION_OPEN" and "actor" in leaf]


def test_a_row_that_fails_is_held_back_and_the_exit_code_is_3(desks: Desks, tmp_path: Path) -> None:
    """Good rows go, a ruined one is held back with cause and cure, and exit code 3 says so; twice sends nothing twice."""
    path = tmp_path / "mixed.csv"
    path.write_text(HEADER + GOOD.replace("8123.45", "7.00") + RUINED, encoding="utf-8")
    first = desks.at("bank-a", "send", path, "--to", "police-a", *STATED, "--json")
    again = desks.at("bank-a", "send", path, "--to", "police-a", *STATED, "--json")
    assert (first.code, again.code) == (3, 3)
    assert [len(first.value[name]) for name in ("sent", "already_sent", "held_back", "refused")] == [1, 0, 1, 0]
    assert [len(again.value[name]) for name in ("sent", "already_sent", "held_back", "refused")] == [0, 1, 1, 0]
    said = desks.at("bank-a", "held-back")
    assert "LF-ROW-LOSSY-NUMBER" in said.out
    assert "cure:" in said.out
    assert "6.22202E+18" not in said.out


def test_policy_refusing_every_row_is_exit_code_4(desks: Desks, tmp_path: Path) -> None:
    """A file that policy lets nobody send is refused row by row, with exit code 4 and the reason."""
    path = tmp_path / "notices.csv"
    path.write_text(HEADER + GOOD.replace("8123.45", "9.00"), encoding="utf-8")
    typed = desks.at("bank-a", "send", path, "--to", "police-a", "--purpose", "audit", "--legal-basis", "ATF5")
    assert typed.code == 4
    assert "refused by policy" in typed.out
    assert ACCOUNT not in typed.out + typed.err


def test_an_unknown_recipient_is_named_with_the_members(desks: Desks, tmp_path: Path) -> None:
    """A recipient that is no member is a usage error that names who is."""
    path = tmp_path / "notices.csv"
    path.write_text(HEADER + GOOD, encoding="utf-8")
    typed = desks.at("bank-a", "send", path, "--to", "police-z", "--json")
    assert (typed.code, typed.value["code"]) == (2, "LF-SEND-UNKNOWN-RECIPIENT")
    assert "police-a" in typed.value["cure"]


def test_lists_show_what_there_is_and_open_nothing(desks: Desks, notice: str) -> None:
    """Inbox and sent show ids, classes and receipts, and no value of a classed field."""
    before = entries(desks)
    desks.wait(lambda: "receipted" in desks.at("bank-a", "sent").out)
    seen = desks.at("police-a", "inbox").out + desks.at("bank-a", "sent").out
    seen += desks.at("police-a", "inbox", "--json").out + desks.at("bank-a", "sent", "--json").out
    assert notice in seen
    assert "ACCOUNT_ID (account, next_hops, other_accounts, card)" in seen
    assert not [value for value in PLANTED if value in seen]
    assert not openings_since(desks, before)
    assert desks.json("police-a", "inbox", "--type", "StopPaymentOrder") == []


def test_opening_is_logged_and_shows_only_what_was_asked(desks: Desks, notice: str) -> None:
    """Opening one field shows it, not its neighbours of the same class, and the log has the entry that it names."""
    opened = desks.json("police-a", "open", notice, "--field", "account", *STATED, "--case", CASE)
    assert set(opened["fields"]) == {"account"}
    assert opened["fields"]["account"]["number"] == ACCOUNT
    assert openings_since(desks, opened["entry"])
    entry = desks.json("police-a", "audit", "leaf", opened["entry"])
    assert (entry["kind"], entry["action"]) == ("KIND_RECEIPT", "ACTION_OPEN")
    people = desks.at("police-a", "open", notice, "--field", "holder,account", *STATED, "--case", CASE)
    assert HOLDER in people.out
    assert NEXT_HOP not in people.out


def test_a_refused_opening_is_exit_code_4_with_rule_and_entry(desks: Desks, notice: str) -> None:
    """The balance is refused to the police at this stage: exit code 4, the reason, and an entry of the attempt."""
    typed = desks.at("police-a", "open", notice, "--field", "balance", *STATED, "--case", CASE, "--json")
    assert (typed.code, typed.value["ok"]) == (4, False)
    entry = desks.json("police-a", "audit", "leaf", typed.value["entry"])
    assert (entry["kind"], entry["decision"]) == ("KIND_DENIAL", "DECISION_DENY")
    people = desks.at("police-a", "open", notice, "--field", "balance", *STATED, "--case", CASE)
    assert people.out == ""
    assert people.err.startswith("error LF-POLICY-")


def test_a_refused_disclosure_writes_no_file(desks: Desks, notice: str, tmp_path: Path) -> None:
    """Without a mandate nothing is disclosed: exit code 4, an entry of the attempt, and no file; nor is one overwritten."""
    out = tmp_path / "exhibit"
    asked = (
        "evidence",
        "disclose",
        notice,
        "--class",
        "ACCOUNT_ID",
        "--purpose",
        "investigate",
        "--legal-basis",
        "CPL54",
    )
    typed = desks.at("police-a", *asked, "--case", CASE, "--out", out, "--json")
    assert typed.code == 4
    entry = desks.json("police-a", "audit", "leaf", typed.value["entry"])
    assert (entry["kind"], entry["action"]) == ("KIND_DENIAL", "ACTION_DISCLOSE")
    assert not out.exists()
    out.write_text("mine")
    again = desks.at("police-a", *asked, "--case", CASE, "--out", out, "--json")
    assert (again.code, again.value["code"], out.read_text()) == (2, "LF-EVIDENCE-EXISTS", "mine")
    unknown = desks.at(
        "police-a", "evidence", "disclose", notice, "--class", "GOSSIP", "--out", tmp_path / "x", "--json"
    )
    assert unknown.code == 2


def test_explain_says_what_may_be_opened_and_opens_nothing(desks: Desks, notice: str) -> None:
    """`policy explain` decides field by field without leaving an entry."""
    before = entries(desks)
    decided = desks.json(
        "police-a", "policy", "explain", notice, "--field", "account,balance", *STATED, "--case", CASE
    )["decisions"]
    assert decided["account"]["permitted"]
    assert not decided["balance"]["permitted"]
    said = " ".join(desks.at("police-a", "policy", "explain", notice, *STATED, "--case", CASE).out.split())
    assert re.search(r"\bholder\b[^:]*: permitted by OP-01", said)
    assert re.search(r"\bbalance\b[^:]*: refused by OP-02", said)
    assert not openings_since(desks, before)


def test_a_message_that_is_not_there_is_exit_code_5(desks: Desks) -> None:
    """An unknown message is not found; something that is no id is a usage error."""
    assert desks.at("police-a", "open", "0" * 32, "--field", "account").code == 5
    assert desks.at("police-a", "open", "12", "--field", "account").code == 2
    assert desks.at("police-a", "open", "0" * 32).code == 2


def test_a_field_that_does_not_exist_is_a_usage_error(desks: Desks, notice: str) -> None:
    """A field that the message has not got is named as such."""
    assert desks.at("police-a", "open", notice, "--field", "acount", *STATED).code == 2


def papers_in(directory: Path) -> list[object]:
    """Write the papers of an order, under names that say nothing, and return the options that give them."""
    papers: list[object] = []
    for number, kind in enumerate(("police-id", "police-id", "form")):
        path = directory / f"{number}.jpg"
        path.write_bytes(b"paper %d" % number)
        papers += ["--paper", f"{kind}={path}"]
    return papers


def test_an_order_goes_out_once_and_is_listed(desks: Desks, tmp_path: Path) -> None:
    """An order with its papers goes out; the same one again sends nothing; the account is read from standard input."""
    papers = papers_in(tmp_path)
    order = ("order", "stop", "--to", "bank-b", "--application-id", "A2026112400001", "--account", "-")
    order += ("--holder", "王五", "--case", CASE, "--amount", "5000.00", *papers)
    first = desks.at("police-a", *order, "--json", stdin=f"{NEXT_HOP}\n")
    again = desks.at("police-a", *order, "--json", stdin=f"{NEXT_HOP}\n")
    assert (first.code, again.code) == (0, 0), first
    assert not first.value["already_sent"]
    assert again.value == {"message_id": first.value["message_id"], "already_sent": True}
    assert first.value["message_id"] in desks.at("police-a", "order", "list").out
    assert [row["message_id"] for row in desks.json("police-a", "order", "list")].count(first.value["message_id"]) == 1


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (("--amount", "12.345"), "LF-ORDER-AMOUNT"),
        (("--paper", "photo=x.jpg"), "LF-CLI-PAPER"),
        (("--paper", "form=missing.jpg"), "LF-CLI-NO-FILE"),
        (("--paper", "form"), "LF-BUS-USAGE"),
        (("--paper", f"form={os.devnull}"), "LF-ORDER-PAPER"),
        (("--holder", "", "--amount", ""), "LF-ORDER-INCOMPLETE"),
        (("--staff", __file__), "LF-ORDER-STAFF"),
    ],
)
def test_an_order_that_is_wrong_is_not_sent(desks: Desks, extra: tuple[str, ...], code: str) -> None:
    """An amount, a kind of paper or a file that is wrong is named, and no order is made."""
    before = [row["message_id"] for row in desks.json("police-a", "order", "list")]
    typed = desks.at(
        "police-a",
        "order",
        "stop",
        "--to",
        "bank-b",
        "--application-id",
        "B1",
        "--account",
        "1234567",
        "--holder",
        "王五",
        "--amount",
        "5000.00",
        *extra,
        "--json",
    )
    assert typed.value["code"] == code
    assert [row["message_id"] for row in desks.json("police-a", "order", "list")] == before


STAFF = """
[organisation]
code = "310100000000"
name = "Demo police"
[requester]
name = "Officer One"
id_type = "08"
id_number = "DEMO0001"
phone = "01000000001"
[second]
name = "Officer Two"
id_type = "08"
id_number = "DEMO0002"
"""


def test_an_order_by_hand_says_all_that_the_banks_dialect_asks_for(desks: Desks, tmp_path: Path) -> None:
    """An order made by options and a staff file reaches the bank's core system with every element that was given."""
    staff = tmp_path / "staff.toml"
    staff.write_text(STAFF, encoding="utf-8")
    said = (
        *("--account", "6217001180009876123_1", "--bank", "310000000002", "--bank-name", "Demo bank B"),
        *("--holder", "王五", "--amount", "5000.00", "--reason", "fraud", "--remark", "soon", "--case", CASE),
        *("--case-type", "0001", "--emergency", "02", "--application-type", "00", "--staff", staff),
        *("--source-account", "6222020200112230019", "--source-holder", "赵六", "--source-bank", "310000000001"),
    )
    papers = papers_in(tmp_path)
    sent = desks.json("police-a", "order", "stop", "--to", "bank-b", "--application-id", "D1", *said, *papers)
    path = desks.root / "bank-b" / "handover" / "out" / f"{sent['message_id']}.xml"
    desks.wait(path.exists)
    given = {
        "ApplicationType": "00",
        "CaseNumber": CASE,
        "CaseType": "0001",
        "EmergencyLevel": "02",
        "TransferOutBankID": "310000000001",
        "TransferOutAccountName": "赵六",
        "TransferOutAccountNumber": "6222020200112230019",
        "TransferAmount": "5000.00",
        "BankID": "310000000002",
        "BankName": "Demo bank B",
        "AccountName": "王五",
        "AccountNumber": "6217001180009876123_1",
        "Reason": "fraud",
        "Remark": "soon",
        "ApplicationOrgID": "310100000000",
        "ApplicationOrgName": "Demo police",
        "OperatorIDType": "08",
        "OperatorIDNumber": "DEMO0001",
        "OperatorName": "Officer One",
        "OperatorPhoneNumber": "01000000001",
        "InvestigatorIDNumber": "DEMO0002",
        "InvestigatorName": "Officer Two",
    }
    body = etree.fromstring(path.read_bytes()).find("Body")
    assert body is not None
    assert {name: body.findtext(name) for name in given} == given
    assert [name.text for name in body.iterfind("Attachments/Attachment/Filename")] == [
        "01-0.jpg",
        "01-1.jpg",
        "03-2.jpg",
    ]


def test_a_lift_without_a_reason_is_refused(desks: Desks) -> None:
    """A lift and a release need a reason, as the law does."""
    typed = desks.at(
        "police-a",
        "order",
        "lift",
        "--to",
        "bank-b",
        "--application-id",
        "C1",
        "--original-application-id",
        "B1",
        "--account",
        "1",
        "--json",
    )
    assert (typed.code, typed.value["code"]) == (2, "LF-ORDER-NO-REASON")


def test_the_auditor_finds_who_looked_over_all_agencies(desks: Desks, notice: str) -> None:
    """`audit who` shows each opening and each refusal, from every agency's log, and never the account."""
    desks.json("police-a", "open", notice, "--field", "account", *STATED, "--case", CASE)
    desks.at("police-a", "open", notice, "--field", "balance", *STATED, "--case", CASE)
    asked = ("audit", "who", notice, "--field", "account", "--purpose", "audit", "--legal-basis", "ATF5")
    found = desks.json("auditor", *asked)
    assert found["silent"] == []
    police = [look for look in found["looks"] if look["agency"] == "police-a"]
    assert {look["decision"] for look in police} == {"PERMIT", "DENY"}
    people = desks.at("auditor", *asked)
    assert people.code == 0
    assert "refused" in people.out
    assert "investigator" in people.out
    assert max(map(len, people.out.splitlines())) <= 100
    assert not [value for value in PLANTED if value in people.out]


def test_nobody_answering_in_time_is_exit_code_6(desks: Desks, notice: str) -> None:
    """When no agency answers within --timeout, exit code 6 says so, with the query's id and the silent agencies."""
    asked = ("audit", "who", notice, "--purpose", "audit", "--legal-basis", "ATF5", "--timeout", "0", "--json")
    typed = desks.at("auditor", *asked)
    assert (typed.code, typed.value["code"]) == (6, "LF-AUDIT-NOBODY-ANSWERED")
    assert "police-a" in typed.value["silent"]


def test_only_an_auditor_may_ask_who_looked(desks: Desks, notice: str) -> None:
    """A bank that asks who looked is refused by policy."""
    assert desks.at("bank-a", "audit", "who", notice, "--purpose", "audit", "--legal-basis", "ATF5").code == 4


def test_an_export_verifies_from_its_files_and_a_flipped_byte_does_not(desks: Desks, tmp_path: Path) -> None:
    """An export verifies with keys from elsewhere; after one flipped byte the first bad entry is named, exit code 7."""
    out = tmp_path / "export"
    exported = desks.json("police-a", "audit", "export", "--out", out)
    keys = ("--vkey", (out / "vkey").read_text().strip())
    for line in (out / "witnesses").read_text().splitlines():
        keys += ("--witness", line)
    good = lianfang("audit", "verify", out, *keys, "--json")
    assert (good.code, good.value["entries"], good.value["problems"]) == (0, exported["entries"], [])
    assert good.value["keys_from_export"] == {"log": False, "witnesses": False}
    bundle = next(path for path in (out / "tile" / "entries").rglob("*") if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(data)
    bad = lianfang("audit", "verify", out, *keys)
    assert bad.code == 7
    assert f"the first bad entry is {exported['entries'] - 1}" in bad.err
    assert lianfang("audit", "verify", out, "--json").value["first_bad"] == exported["entries"] - 1


def test_an_export_without_a_witness_that_is_demanded_is_exit_code_7(desks: Desks, tmp_path: Path) -> None:
    """A witness that has not cosigned makes the check fail when it is demanded."""
    out, other = tmp_path / "export", tmp_path / "other"
    desks.json("police-a", "audit", "export", "--out", out)
    desks.json("auditor", "audit", "export", "--out", other)
    stranger = (other / "witnesses").read_text().splitlines()[0]
    typed = lianfang("audit", "verify", out, "--witness", stranger)
    assert typed.code == 7
    assert "has not cosigned" in typed.out
    assert lianfang("audit", "verify", out, "--no-witness").code == 0
    assert lianfang("audit", "verify", out, "--no-witness", "--witness", stranger).code == 2


def test_an_entry_is_proved_to_somebody_without_the_log(desks: Desks, tmp_path: Path) -> None:
    """The proof of an entry and its bytes convince whoever has the log's key."""
    out = tmp_path / "export"
    desks.json("police-a", "audit", "export", "--out", out)
    path = tmp_path / "entry.proof"
    proved = desks.json("police-a", "audit", "prove", 0, "--out", path)
    keys = (out / "vkey").read_text().strip(), (out / "witnesses").read_text().splitlines()
    checkpoint = verify_proof(path.read_bytes(), base64.b64decode(proved["leaf"]), *keys)
    assert checkpoint.size > 0
    assert desks.at("police-a", "audit", "prove", 0).out == path.read_text()
    assert desks.at("police-a", "audit", "prove", 10_000_000).code == 5


def test_status_and_doctor_agree_that_all_is_well(desks: Desks) -> None:
    """A node that runs is well in the eyes of status and doctor."""
    status = desks.at("bank-a", "node", "status")
    assert "connections up" in status.out

    def unwell() -> list[dict[str, str]]:
        findings = desks.at("bank-a", "node", "doctor", "--json").value["findings"]
        return [finding for finding in findings if not finding["ok"]]

    assert wait_until(lambda: not unwell(), 30.0), unwell()  # until the auditor has cosigned
    assert "All is well." in desks.at("bank-a", "node", "doctor").out


def test_every_list_has_words_for_nothing(desks: Desks) -> None:
    """An empty list is a sentence for people and an empty array for programs."""
    none = ("--type", "CallDetailRequest")
    for command in (("inbox", *none), ("sent", *none), ("held-back",), ("quarantine",)):
        assert desks.json("platform-d", *command) == []
        assert desks.at("platform-d", *command).out.endswith(".\n")
    assert desks.at("platform-d", "order", "list").out == "There are no orders.\n"


def test_the_policy_in_force_reads_in_sentences(desks: Desks) -> None:
    """`policy show` prints a sentence for each row, in lines that fit."""
    bundle = desks.json("bank-a", "policy", "show")
    said = desks.at("bank-a", "policy", "show").out
    assert all(f"{row.split(':')[0]}:" in said for row in bundle["rows"])
    assert max(map(len, said.splitlines())) <= 100
