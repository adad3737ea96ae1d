"""What a bank's core system decides about an order: accounts in, answer and effect out. Pure; no file, no clock.

- One account may be stopped once at a time; freezes queue, and each holds what those before it have left.
- Amounts are integer fen; times are the dialect's 14 digits, local, and compare as text.
- Result codes are those of the stop-payment platform's list (0000 success, 0300 no such account, 0301 name differs,
  0400 no such earlier order, 0600 papers missing, 0801 beyond the lawful term, 1200 stopped but balance insufficient,
  1301 already stopped, 1303 wholly frozen, 1800 and 1900 the stop has ended; 0200, 0500, 0800 for what cannot be read).
- Every function returns a new account; a decision that is not written to the ledger has changed nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

SUCCESS, SUCCESS_SHORT = "0000", "1200"
STOP_HOURS_MAX = 48
FREEZE_DAYS_MAX = 184
BAD_AMOUNT = -1
TIME_FORMAT = "%Y%m%d%H%M%S"
_POLICE_IDS_MIN = 2


@dataclass(frozen=True)
class Stop:
    """A stop of payments in force."""

    application_id: str
    expires: str


@dataclass(frozen=True)
class Freeze:
    """A freeze in the queue; `amount_fen` of None holds the whole account."""

    application_id: str
    authority: str
    amount_fen: int | None
    expires: str


@dataclass(frozen=True)
class Account:
    """One account of the bank."""

    number: str
    holder: str
    balance_fen: int
    card: str = ""
    stop: Stop | None = None
    freezes: tuple[Freeze, ...] = ()

    def live_freezes(self, now: str) -> tuple[Freeze, ...]:
        """Return the freezes that have not ended, first come first."""
        return tuple(item for item in self.freezes if item.expires > now)

    def held_fen(self, queue: Sequence[Freeze]) -> list[int]:
        """Return how much each freeze of a queue holds: the balance goes to the first, what is left to the next."""
        left, held = self.balance_fen, []
        for item in queue:
            take = left if item.amount_fen is None else min(item.amount_fen, left)
            held.append(take)
            left -= take
        return held


@dataclass(frozen=True)
class Order:
    """An order as the core system reads it. `account` is the main account, `named` the number as it was written."""

    tx_code: str
    application_id: str
    original_id: str
    account: str
    named: str
    account_type: str
    holder: str
    amount_fen: int | None
    freeze_type: str
    starts: str
    expires: str
    authority: str
    reply_to: str
    papers: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Answer:
    """What the bank answers: a result code and the body elements that go with it; `effect` names what was done."""

    result: str
    remark: str
    effect: str = ""
    elements: dict[str, str] = field(default_factory=dict)


Decided = tuple[Answer, Account | None]


def decide(order: Order, account: Account | None, now: str) -> Decided:
    """Return the answer and, where the order has an effect, the account as it is after it."""
    refusal = _refusal(order, account, now)
    if refusal is not None:
        return refusal, None
    assert account is not None
    return _DECISIONS[order.tx_code](order, account, now)


def known(tx_code: str) -> bool:
    """Say whether the core system carries out orders of this code."""
    return tx_code in _DECISIONS


def _refusal(order: Order, account: Account | None, now: str) -> Answer | None:
    """Return the first thing that is wrong with any order, before its own rules are asked."""
    if not order.application_id or not order.account or not order.holder:
        return Answer("0500", "必输内容缺失")
    if order.amount_fen == BAD_AMOUNT:
        return Answer("0200", "无效金额")
    if _papers_missing(order):
        return Answer("0600", "法律文书缺失")
    if account is None:
        return Answer("0300", "账户不存在")
    if _plain(order.holder) != _plain(account.holder):
        return Answer("0301", "账号和名称不符")
    return _term_refusal(order, now)


def _papers_missing(order: Order) -> bool:
    demanded = _FORM_OF.get(order.tx_code)
    if demanded is None:
        return False
    prefixes = [name[:2] for name in order.papers]
    return prefixes.count("01") < _POLICE_IDS_MIN or demanded not in prefixes


def _term_refusal(order: Order, now: str) -> Answer | None:
    longest = _LONGEST.get(order.tx_code)
    if longest is None:
        return None
    starts, expires = moment(order.starts or now), moment(order.expires)
    if starts is None or expires is None:
        return Answer("0800", "日期格式错误")
    if not timedelta(0) < expires - starts <= longest:
        return Answer("0801", "起止日期超出指令法律效力范围")
    return None


def _stop(order: Order, account: Account, now: str) -> Decided:
    if account.stop is not None and account.stop.expires > now:
        return Answer("1301", "账户已止付"), None
    queue = account.live_freezes(now)
    if any(item.amount_fen is None for item in queue):
        return Answer("1303", "账户已全部冻结"), None
    after = replace(account, stop=Stop(order.application_id, order.expires))
    available = account.balance_fen - sum(account.held_fen(queue))
    short = order.amount_fen is not None and available < order.amount_fen
    return Answer(
        SUCCESS_SHORT if short else SUCCESS,
        "止付成功，余额不足" if short else "止付成功",
        "stop",
        {
            "CardNumber": account.card,
            "AccountBalance": yuan(account.balance_fen),
            "StartTime": order.starts or now,
            "ExpireTime": order.expires,
        },
    ), after


def _lift(order: Order, account: Account, now: str) -> Decided:
    stop = account.stop
    if stop is None or stop.application_id != order.original_id:
        return Answer("0400", "找不到原止付"), None
    if stop.expires <= now:
        return Answer("1900", "止付解除失败，已到期"), None
    elements = {"CardNumber": account.card, "WithdrawalTime": now}
    return Answer(SUCCESS, "止付已解除", "lift", elements), replace(account, stop=None)


def _extend_stop(order: Order, account: Account, now: str) -> Decided:
    stop = account.stop
    if stop is None or stop.application_id != order.original_id:
        return Answer("0400", "找不到原止付"), None
    if stop.expires <= now:
        return Answer("1800", "止付延期失败，已到期"), None
    elements = {
        "CardNumber": account.card,
        "AccountBalance": yuan(account.balance_fen),
        "StartTime": order.starts or now,
        "ExpireTime": order.expires,
    }
    return Answer(SUCCESS, "止付已延期", "extend-stop", elements), replace(
        account, stop=replace(stop, expires=order.expires)
    )


def _freeze(order: Order, account: Account, now: str) -> Decided:
    if order.freeze_type != "02" and not order.amount_fen:
        return Answer("0200", "无效金额"), None
    wanted = None if order.freeze_type == "02" else order.amount_fen
    earlier = account.live_freezes(now)
    queue = (*earlier, Freeze(order.application_id, order.authority, wanted, order.expires))
    held = account.held_fen(queue)
    elements = {
        "CardNumber": account.card,
        "AppliedBalance": yuan(account.balance_fen if wanted is None else wanted),
        "FrozedBalance": yuan(held[-1]),
        "Currency": "CNY",
        "AccountBalance": yuan(account.balance_fen),
        "StartTime": order.starts or now,
        "ExpireTime": order.expires,
        "AccountAvaiableBalance": yuan(account.balance_fen - sum(held)),
    }
    if earlier:
        first = earlier[0]
        elements |= {
            "FormerApplicationDepartment": first.authority,
            "FormerFrozenCurrency": "CNY",
            "FormerFrozenBalance": yuan(account.balance_fen if first.amount_fen is None else first.amount_fen),
            "FormerFrozenExpireTime": first.expires,
        }
    remark = f"冻结成功，在先冻结{len(earlier)}笔" if earlier else "冻结成功"
    return Answer(SUCCESS, remark, "freeze", elements), replace(account, freezes=queue)


def _release(order: Order, account: Account, now: str) -> Decided:
    queue = account.live_freezes(now)
    place = next((at for at, item in enumerate(queue) if item.application_id == order.original_id), None)
    if place is None:
        return Answer("0400", "找不到原冻结"), None
    wanted = queue[place].amount_fen
    elements = {
        "CardNumber": account.card,
        "AppliedBalance": yuan(account.balance_fen if wanted is None else wanted),
        "UnfreezeBalance": yuan(account.held_fen(queue)[place]),
        "AccountBalance": yuan(account.balance_fen),
        "WithdrawalTime": now,
    }
    left = (*queue[:place], *queue[place + 1 :])
    return Answer(SUCCESS, "冻结已解除", "release", elements), replace(account, freezes=left)


def _extend_freeze(order: Order, account: Account, now: str) -> Decided:
    queue = account.live_freezes(now)
    place = next((at for at, item in enumerate(queue) if item.application_id == order.original_id), None)
    if place is None:
        return Answer("0400", "找不到原冻结"), None
    longer = replace(queue[place], expires=order.expires)
    wanted = longer.amount_fen
    elements = {
        "CardNumber": account.card,
        "AppliedBalance": yuan(account.balance_fen if wanted is None else wanted),
        "FrozedBalance": yuan(account.held_fen(queue)[place]),
        "Currency": "CNY",
        "AccountBalance": yuan(account.balance_fen),
        "StartTime": order.starts or now,
        "ExpireTime": order.expires,
    }
    freezes = (*queue[:place], longer, *queue[place + 1 :])
    return Answer(SUCCESS, "冻结已延期", "extend-freeze", elements), replace(account, freezes=freezes)


_DECISIONS = {
    "100101": _stop,
    "100103": _lift,
    "100105": _extend_stop,
    "100201": _freeze,
    "100203": _release,
    "100205": _extend_freeze,
}
_FORM_OF = {"100101": "03", "100105": "03", "100201": "02", "100205": "02"}
_LONGEST = {
    "100101": timedelta(hours=STOP_HOURS_MAX),
    "100105": timedelta(hours=STOP_HOURS_MAX),
    "100201": timedelta(days=FREEZE_DAYS_MAX),
    "100205": timedelta(days=FREEZE_DAYS_MAX),
}


def moment(text: str) -> datetime | None:
    """Return the local moment that 14 or 8 digits name, or None when they name none."""
    if not text.isdecimal() or not text.isascii():
        return None
    try:
        return datetime.strptime(text.ljust(14, "0"), TIME_FORMAT)  # noqa: DTZ007 - the dialect has no zone
    except ValueError:
        return None


def yuan(amount_fen: int) -> str:
    """Return an amount as the dialect writes it: yuan with two decimals."""
    sign = "-" if amount_fen < 0 else ""
    return f"{sign}{abs(amount_fen) // 100}.{abs(amount_fen) % 100:02d}"


def fen(text: str) -> int | None:
    """Return an amount in fen; None where there is none, BAD_AMOUNT for what is not yuan with at most two decimals."""
    text = text.strip()
    if not text:
        return None
    whole, point, cents = text.partition(".")
    good = whole.isascii() and whole.isdecimal() and (not point or (cents.isascii() and cents.isdecimal()))
    if not good or len(cents) > 2:  # noqa: PLR2004 - fen
        return BAD_AMOUNT
    return int(whole) * 100 + int(cents.ljust(2, "0") or "0")


def _plain(name: str) -> str:
    return "".join(name.split())
