"""What the story takes from a notice, and the books it makes for bank-b."""

from pathlib import Path
from typing import Any

import pytest

from deploy.demo.case_file import played_notice, target_of, write_balances
from deploy.demo.core_system import read_balances
from tests.demo.bank_files import BAD_ID, GOOD, NO_HOP, RUINED, bank_file

HOP: dict[str, Any] = {"number": "6217009182736455", "bank": {"code": "310000000009"}}


def movement(**changes: Any) -> dict[str, Any]:
    """Return a movement of 9,800.00 yuan to the next account."""
    fields = {
        "amount": {"minor_units": "980000", "currency": "CNY"},
        "counterparty": {"number": "6217009182736455"},
        "counterparty_name": "司马长风远",
    }
    return fields | changes


def test_the_next_account_is_taken_with_name_and_amount() -> None:
    """The movement to that very account gives the holder's name and the amount."""
    target = target_of({"next_hops": [HOP], "transactions": [movement(counterparty={"number": "1"}), movement()]})
    assert target is not None
    assert (target.account, target.holder, target.amount, target.bank_id) == (
        "6217009182736455",
        "司马长风远",
        "9800.00",
        "310000000009",
    )


@pytest.mark.parametrize("fields", [{}, {"next_hops": []}, {"next_hops": [HOP | {"masked": True}]}])
def test_without_a_whole_next_account_there_is_no_target(fields: dict[str, Any]) -> None:
    """A masked account is never the target of an order."""
    assert target_of(fields) is None


@pytest.mark.parametrize("changes", [{"amount": {"minor_units": "980000", "currency": "USD"}}, {"amount": {}}])
def test_an_amount_that_is_not_yuan_is_not_taken(changes: dict[str, Any]) -> None:
    """A foreign amount is not written as if it were yuan."""
    target = target_of({"next_hops": [HOP], "transactions": [movement(**changes)]})
    assert target is not None
    assert target.amount == "8000.00"


def test_bank_bs_books_hold_less_than_was_moved(tmp_path: Path) -> None:
    """What is free of the balance is less than the order's amount, and an earlier freeze stands in the queue."""
    target = target_of({"next_hops": [HOP], "transactions": [movement()]})
    assert target is not None
    write_balances(tmp_path / "balances.json", target)
    (account,) = read_balances(tmp_path / "balances.json").values()
    assert account.holder == "司马长风远"
    assert account.balance_fen < 980_000
    assert [item.amount_fen for item in account.freezes] == [98_000]


def test_the_first_notice_with_a_next_account_is_played() -> None:
    """Rows that were not sent, and rows without a next account, are passed over."""
    data = bank_file(RUINED, NO_HOP, GOOD, BAD_ID)
    sent = [{"row": 2, "message_id": "02"}, {"row": 3, "message_id": "03"}, {"row": 4, "message_id": "04"}]
    played = played_notice(data, sent)
    assert played is not None
    assert (played.message_id, played.target.account) == ("03", GOOD.next_hop)
    assert played_notice(data, sent[:1]) is None
