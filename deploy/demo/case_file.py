"""What the story takes from a notice: whose account the money went on to, and how much.

Read twice, by the same rule: by the police, from the fields that the investigator was given, and by the stage, from the
bank's own file, so that bank-b's books have an account to stop.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

import adapters
from adapters.convert import convert
from adapters.model import Converted
from deploy.demo.police_system import Target

FIELDS = ("account", "holder", "next_hops", "transactions")
"""What the investigator asks to see of a notice."""

_HOLDER_UNNAMED = "演示户名"
"""Stands for what the police would find out by themselves where the notice does not name the next account's holder."""
_AMOUNT_FEN = 800_000
_AMOUNT_FEN_MIN = 1_000
_BANK_B = "310000000002"


@dataclass(frozen=True)
class Played:
    """The notice that the story goes on with: its message and where the money went."""

    message_id: str
    target: Target


def played_notice(data: bytes, sent: Sequence[Mapping[str, Any]]) -> Played | None:
    """Return the first notice that was sent and names a whole next account, or None."""
    sent_as = {int(row["row"]): str(row["message_id"]) for row in sent}
    for row in convert(adapters.profiles()[adapters.detect(data)], data):
        if isinstance(row, Converted) and row.record in sent_as:
            target = target_of(MessageToDict(row.message, preserving_proto_field_name=True))
            if target is not None:
                return Played(sent_as[row.record], target)
    return None


def target_of(fields: Mapping[str, Any]) -> Target | None:
    """Return the account that the money of a notice went on to; None when it names none, or only a masked one."""
    hop = next((item for item in fields.get("next_hops", ()) if not item.get("masked")), None)
    if hop is None:
        return None
    movement: Mapping[str, Any] = next(
        (
            item
            for item in fields.get("transactions", ())
            if item.get("counterparty", {}).get("number") == hop["number"]
        ),
        {},
    )
    sub_account = hop.get("sub_account", "")
    bank = hop.get("bank", {})
    return Target(
        account=f"{hop['number']}_{sub_account}" if sub_account else hop["number"],
        holder=movement.get("counterparty_name") or _HOLDER_UNNAMED,
        amount=_yuan(_amount_fen(movement.get("amount", {}))),
        bank_id=bank.get("code") or _BANK_B,
        bank_name=bank.get("name", ""),
    )


def write_balances(path: Path, target: Target) -> None:
    """Write bank-b's books: the account holds less than was moved to it, and a court has frozen a part before."""
    moved = int(target.amount.replace(".", ""))
    account = {
        "account": target.account.partition("_")[0],
        "holder": target.holder,
        "balance_fen": moved * 2 // 5,
        "freezes": [{"authority": "演示区人民法院", "amount_fen": moved // 10, "expires": "20991231235959"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(json.dumps({"accounts": [account]}, ensure_ascii=False, indent=1), encoding="utf-8")


def _amount_fen(money: Mapping[str, Any]) -> int:
    amount = abs(int(money.get("minor_units", 0)))
    return amount if money.get("currency") == "CNY" and amount >= _AMOUNT_FEN_MIN else _AMOUNT_FEN


def _yuan(amount_fen: int) -> str:
    return f"{amount_fen // 100}.{amount_fen % 100:02d}"
