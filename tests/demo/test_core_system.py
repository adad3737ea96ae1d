"""The bank's core system: what it decides, and that it does nothing twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lxml import etree

from deploy.demo import core_system
from deploy.demo.core_decisions import BAD_AMOUNT, fen, yuan
from deploy.demo.core_system import CoreSystem, Ledger, count_decisions, count_effects, count_repeats, read_balances
from tests.demo.orders import NOW, PAPERS, balances, freeze_xml, order_xml, stop_xml

ROOT = Path(__file__).resolve().parents[2]
EARLIER = {"authority": "演示区法院", "amount_fen": 300_000, "expires": "20270101000000"}


class Bank:
    """A core system in a folder, driven by hand."""

    def __init__(self, directory: Path, balance_file: Path) -> None:
        self.directory = directory
        self.ledger_path = directory / "ledger.jsonl"
        (directory / "out").mkdir(parents=True, exist_ok=True)
        self._balances = read_balances(balance_file)
        self.now = NOW

    def give(self, name: str, order: bytes) -> dict[str, str]:
        """Hand an order over and return the body of the answer, or nothing when there is none."""
        (self.directory / "out" / f"{name}.xml").write_bytes(order)
        with Ledger(self.ledger_path) as ledger:
            CoreSystem(self.directory, self._balances, ledger, lambda: self.now).run_once()
        return self.answer()

    def answer(self) -> dict[str, str]:
        """Take the one answer that lies there."""
        paths = list((self.directory / "in").glob("*.xml"))
        if not paths:
            return {}
        assert len(paths) == 1
        root = etree.fromstring(paths[0].read_bytes())
        paths[0].unlink()
        assert root.tag == "Request"
        return {"TxCode": root.findtext("Head/TxCode") or "", **{e.tag: e.text or "" for e in root.find("Body")}}


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """A bank with one account of 5,000.00 yuan, 3,000.00 of it frozen by a court."""
    return Bank(tmp_path / "bank", balances(tmp_path / "balances.json", freezes=(EARLIER,)))


def test_a_stop_beyond_the_balance_is_a_defective_success(bank: Bank) -> None:
    """A stop for more than is there takes effect and says 1200, with balance and term."""
    answer = bank.give("a", stop_xml("S1"))
    assert answer["TxCode"] == "100102"
    assert answer["Result"] == "1200"
    assert answer["AccountBalance"] == "5000.00"
    assert answer["ExpireTime"] == "20261126120000"
    assert count_effects(bank.ledger_path) == {"S1": 1}


def test_a_stop_within_the_free_balance_is_a_success(bank: Bank) -> None:
    """What an earlier freeze holds does not count as there: 2,000.00 is free, 2,000.01 is not."""
    assert bank.give("a", stop_xml("S1", TransferAmount="2000.00"))["Result"] == "0000"
    bank.give("b", order_xml("100103", "L1", OriginalApplicationID="S1", **_who()))
    assert bank.give("c", stop_xml("S2", TransferAmount="2000.01"))["Result"] == "1200"


def _who(**changes: str) -> dict[str, str]:
    return {"AccountNumber": "6217000000000000017", "AccountName": "赵甲"} | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"AccountName": "钱乙"}, "0301"),
        ({"AccountName": ""}, "0500"),
        ({"AccountNumber": "6217000000000000018"}, "0300"),
        ({"ExpireTime": "20261126120001"}, "0801"),
        ({"ExpireTime": "20261124120000"}, "0801"),
        ({"ExpireTime": "20261124330909"}, "0800"),
        ({"TransferAmount": "8,000.00"}, "0200"),
        ({"TransferAmount": "-1.00"}, "0200"),
    ],
)
def test_what_does_not_hold_is_refused_without_effect(bank: Bank, changes: dict[str, str], code: str) -> None:
    """An order that does not fit the account, the law or the format has its own code and no effect."""
    assert bank.give("a", stop_xml("S1", **changes))["Result"] == code
    assert count_effects(bank.ledger_path) == {}
    assert count_decisions(bank.ledger_path) == {"S1": 1}


@pytest.mark.parametrize("papers", [(), PAPERS[:2], (PAPERS[0], PAPERS[2]), ("x.jpg", "y.jpg", "z.pdf")])
def test_a_stop_without_its_papers_is_refused(bank: Bank, papers: tuple[str, ...]) -> None:
    """Without two police-ID scans and the form the bank answers 0600."""
    order = order_xml("100101", "S1", papers, **_who(StartTime=NOW, ExpireTime="20261126120000"))
    assert bank.give("a", order)["Result"] == "0600"


def test_blanks_in_a_name_are_no_mismatch(bank: Bank) -> None:
    """A name padded with blanks, full width ones too, is the same name."""
    assert bank.give("a", stop_xml("S1", AccountName=" 赵　甲 "))["Result"] == "1200"


def test_the_main_account_counts_and_the_named_one_is_answered(bank: Bank) -> None:
    """`main_identifier` acts on the main account and is echoed as written."""
    answer = bank.give("a", stop_xml("S1", AccountNumber="6217000000000000017_CNY01"))
    assert (answer["Result"], answer["AccountNumber"]) == ("1200", "6217000000000000017_CNY01")


def test_a_second_stop_waits_for_the_first_to_end(bank: Bank) -> None:
    """An account is stopped once at a time; after the term it can be stopped again."""
    bank.give("a", stop_xml("S1"))
    assert bank.give("b", stop_xml("S2"))["Result"] == "1301"
    bank.now = "20261126120000"
    assert bank.give("c", stop_xml("S3", StartTime=bank.now, ExpireTime="20261127120000"))["Result"] == "1200"


def test_a_stop_is_lifted_once(bank: Bank) -> None:
    """A lift names its stop; a second lift, and a lift of nothing, find none."""
    bank.give("a", stop_xml("S1"))
    assert bank.give("b", order_xml("100103", "L1", OriginalApplicationID="S1", **_who()))["Result"] == "0000"
    assert bank.give("c", order_xml("100103", "L2", OriginalApplicationID="S1", **_who()))["Result"] == "0400"


def test_a_stop_that_has_ended_is_neither_lifted_nor_prolonged(bank: Bank) -> None:
    """After its term a stop answers 1900 to a lift and 1800 to an extension."""
    bank.give("a", stop_xml("S1"))
    bank.now = "20261126120000"
    longer = {"PostponeStartTime": bank.now, "ExpireTime": "20261127120000", **_who()}
    extend = order_xml("100105", "E1", PAPERS, OriginalApplicationID="S1", **longer)
    assert bank.give("b", extend)["Result"] == "1800"
    assert bank.give("c", order_xml("100103", "L1", OriginalApplicationID="S1", **_who()))["Result"] == "1900"


def test_a_freeze_queues_behind_an_earlier_one(bank: Bank) -> None:
    """The answer names the earlier authority, amount and expiry, and freezes only what is left."""
    answer = bank.give("a", freeze_xml("F1"))
    assert answer["Result"] == "0000"
    assert answer["FormerApplicationDepartment"] == "演示区法院"
    assert answer["FormerFrozenBalance"] == "3000.00"
    assert answer["FormerFrozenExpireTime"] == "20270101000000"
    assert (answer["AppliedBalance"], answer["FrozedBalance"]) == ("20000.00", "2000.00")
    assert answer["AccountAvaiableBalance"] == "0.00"


def test_a_freeze_with_none_before_it_names_none(tmp_path: Path) -> None:
    """Where nothing was frozen before, the elements of an earlier freeze stay empty."""
    bank = Bank(tmp_path / "bank", balances(tmp_path / "balances.json"))
    answer = bank.give("a", freeze_xml("F1", FreezeType="02", Balance=""))
    assert answer["FormerApplicationDepartment"] == ""
    assert (answer["FrozedBalance"], answer["AccountAvaiableBalance"]) == ("5000.00", "0.00")


def test_an_ended_freeze_is_not_before_anyone(bank: Bank) -> None:
    """A freeze that has run out neither holds money nor is named."""
    bank.now = "20270101000000"
    answer = bank.give("a", freeze_xml("F1", FreezeStartTime=bank.now, ExpireTime="20270601000000"))
    assert answer["FormerApplicationDepartment"] == ""
    assert answer["FrozedBalance"] == "5000.00"


def test_a_release_gives_back_what_was_held(bank: Bank) -> None:
    """A release says how much it gives back, and a later freeze takes the place."""
    bank.give("a", freeze_xml("F1"))
    released = bank.give("b", order_xml("100203", "R1", OriginalApplicationID="F1", **_who()))
    assert (released["Result"], released["UnfreezeBalance"]) == ("0000", "2000.00")
    assert bank.give("c", freeze_xml("F2"))["FrozedBalance"] == "2000.00"
    assert bank.give("d", order_xml("100203", "R2", OriginalApplicationID="F1", **_who()))["Result"] == "0400"


def test_a_freeze_is_prolonged(bank: Bank) -> None:
    """An extension moves the end of the freeze that it names."""
    bank.give("a", freeze_xml("F1"))
    extend = {"OriginalApplicationID": "F1", "PostponeStartTime": "20270524120000", "ExpireTime": "20271101000000"}
    papers = (*PAPERS[:2], "02-instrument.pdf")
    answer = bank.give("b", order_xml("100205", "E1", papers, **extend, **_who()))
    assert (answer["TxCode"], answer["Result"], answer["ExpireTime"]) == ("100206", "0000", "20271101000000")


def test_the_same_order_again_gets_the_first_answer_and_no_second_effect(bank: Bank) -> None:
    """A repeat, also to a process that has started anew, is answered in the same bytes and changes nothing."""
    bank.give("a", stop_xml("S1"))
    (bank.directory / "out" / "b.xml").write_bytes(stop_xml("S1"))
    with Ledger(bank.ledger_path) as ledger:
        CoreSystem(bank.directory, read_balances(bank.directory.parent / "balances.json"), ledger).run_once()
    assert bank.answer()["Result"] == "1200"
    assert count_effects(bank.ledger_path) == {"S1": 1}
    assert count_repeats(bank.ledger_path) == {"S1": 1}


def test_a_number_used_for_another_order_is_refused(bank: Bank) -> None:
    """The same ApplicationID with another amount, or of another kind, answers 0900 and changes nothing."""
    bank.give("a", stop_xml("S1"))
    assert bank.give("b", stop_xml("S1", TransferAmount="1.00"))["Result"] == "0900"
    assert bank.give("c", freeze_xml("S1"))["Result"] == "0900"
    assert count_effects(bank.ledger_path) == {"S1": 1}


def test_a_torn_ledger_line_is_decided_anew(bank: Bank) -> None:
    """Half a line, as a crash leaves it, counts for nothing; the order is then carried out once."""
    bank.give("a", stop_xml("S1"))
    whole = bank.ledger_path.read_bytes()
    bank.ledger_path.write_bytes(whole[: len(whole) // 2])
    assert bank.give("b", stop_xml("S1"))["Result"] == "1200"
    assert count_effects(bank.ledger_path) == {"S1": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<Request><Head><TxCode>100101</TxCode></Head></Request>",
        b"<Response><Head><TxCode>100101</TxCode></Head><Body/></Response>",
        b'<!DOCTYPE a [<!ENTITY e "x">]><Response><Body><ApplicationID>&e;</ApplicationID></Body></Response>',
    ],
)
def test_what_cannot_be_answered_is_put_aside(bank: Bank, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no order gets no answer, does not stop the next one, and is kept."""
    assert bank.give("a", data) == {}
    assert (bank.directory / "out" / "unreadable" / "a.xml").read_bytes() == data
    assert "a.xml" in capsys.readouterr().err
    assert bank.give("b", stop_xml("S1"))["Result"] == "1200"


def test_an_unknown_code_is_answered_as_unsupported(bank: Bank) -> None:
    """A query is none of this system's business and says so."""
    assert bank.give("a", order_xml("100301", "Q1", **_who()))["Result"] == "1000"


def test_a_csv_balance_file_says_the_same(tmp_path: Path) -> None:
    """The two kinds of balance file read alike."""
    path = tmp_path / "balances.csv"
    path.write_text(
        "account,holder,balance_fen,authority,amount_fen,expires\n"
        "6217000000000000017,赵甲,500000,演示区法院,300000,20270101000000\n"
        "6217000000000000017,赵甲,500000,演示区检察院,,20270201000000\n"
        "6217000000000000025,钱乙,1,,,\n",
        encoding="utf-8",
    )
    accounts = read_balances(path)
    first = accounts["6217000000000000017"]
    assert [(item.authority, item.amount_fen) for item in first.freezes] == [
        ("演示区法院", 300_000),
        ("演示区检察院", None),
    ]
    assert accounts["6217000000000000025"].freezes == ()


@pytest.mark.parametrize(
    ("text", "amount"),
    [("", None), ("0", 0), ("12", 1200), ("12.3", 1230), ("12.34", 1234), ("12.345", BAD_AMOUNT), ("１", BAD_AMOUNT)],
)
def test_amounts_are_exact(text: str, amount: int | None) -> None:
    """Yuan become fen without a float in between."""
    assert fen(text) == amount


def test_amounts_are_written_with_two_decimals() -> None:
    """Fen become yuan, below zero too."""
    assert [yuan(item) for item in (0, 5, 1234, -5)] == ["0.00", "0.05", "12.34", "-0.05"]


def _arguments(bank: Bank, balance_file: Path) -> list[str]:
    return ["--dir", str(bank.directory), "--balances", str(balance_file), "--ledger", str(bank.ledger_path)]


def _start(bank: Bank, balance_file: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "deploy.demo.core_system", *_arguments(bank, balance_file)]
    return subprocess.Popen(command, cwd=ROOT)


def test_killed_at_any_moment_it_does_nothing_twice(tmp_path: Path) -> None:
    """Forty releases of forty freezes, the process killed again and again: each answered, each done once."""
    freezes = tuple({"authority": "甲", "amount_fen": 1, "expires": "29990101000000"} for _ in range(40))
    bank = Bank(tmp_path / "bank", balances(tmp_path / "balances.json", freezes=freezes))
    for number in range(40):
        order = order_xml("100203", f"R{number}", OriginalApplicationID=f"earlier-{number}", **_who())
        (bank.directory / "out" / f"{number:03d}.xml").write_bytes(order)
    answers, orders = bank.directory / "in", bank.directory / "out"
    kills, deadline = 0, time.monotonic() + 120
    while list(orders.glob("*.xml")):
        assert time.monotonic() < deadline
        process = _start(bank, tmp_path / "balances.json")
        # The last answer may stand while its order still lies there: that run is left to end by itself.
        enough = len(list(answers.glob("*.xml"))) + 9
        while process.poll() is None and len(list(answers.glob("*.xml"))) < enough and list(orders.glob("*.xml")):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert len(list(answers.glob("*.xml"))) == 40
    assert kills >= 4
    assert count_effects(bank.ledger_path) == {f"R{number}": 1 for number in range(40)}


def test_it_stops_when_told_and_shares_its_ledger_with_nobody(tmp_path: Path) -> None:
    """A second process on the same ledger refuses to start; SIGTERM ends the first in peace."""
    bank = Bank(tmp_path / "bank", balances(tmp_path / "balances.json"))
    first = _start(bank, tmp_path / "balances.json")
    try:
        (bank.directory / "out" / "a.xml").write_bytes(stop_xml("S1"))
        deadline = time.monotonic() + 20
        while not list((bank.directory / "in").glob("*.xml")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert core_system.main(_arguments(bank, tmp_path / "balances.json")) == 1
    finally:
        first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
