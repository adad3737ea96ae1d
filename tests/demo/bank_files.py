"""Bank exports of the demo's dialect, made here: GB18030, preamble lines, padded cells; each value is easy to find again."""

from dataclasses import dataclass

HEADINGS = (
    "序号,卡号,户名,证件号码,手机号,可疑特征,风险评分,开户日期,余额,交易金额,交易时间,收付标志,对方账号,对方户名,"
    "去向账号,备注"
)


@dataclass(frozen=True)
class Row:
    """One row. An empty `next_hop` is a row whose money went nowhere that is known."""

    account: str
    name: str
    id_number: str
    phone: str
    next_hop: str = ""
    next_name: str = ""

    def planted(self) -> tuple[str, ...]:
        """Return what of it must be found nowhere but with those who may hold it."""
        return tuple(
            item
            for item in (self.account, self.name, self.id_number, self.phone, self.next_hop, self.next_name)
            if item
        )


def identity(seventeen: str) -> str:
    """Return an identity number with its check character (GB 11643)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(seventeen, weights, strict=True))
    return seventeen + "10X98765432"[total % 11]


def wrong(number: str) -> str:
    """Return an identity number with another check character than its own."""
    return number[:-1] + ("1" if number[-1] == "0" else "0")


def card(digits: str) -> str:
    """Return a card number with its check digit (Luhn)."""
    doubled = [int(digit) * 2 if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(item // 10 + item % 10 for item in doubled) % 10)


GOOD = Row(
    card("622588817263549821"),
    "欧阳春晓明",
    identity("31010119870406381"),
    "13917264853",
    card("621700918273645509"),
    "司马长风远",
)
NO_HOP = Row(card("622588817263549938"), "诸葛秋水长", identity("31010119910512473"), "13917264861")
BAD_ID = Row(
    card("622588817263550084"),
    "上官清泉石",
    wrong(identity("31010119930708254")),
    "13917264879",
    card("621700918273645517"),
    "东方既白云",
)
RUINED = Row("6.22589E+18", "南宫月如钩", identity("31010119790911368"), "13917264887")


def bank_file(*rows: Row) -> bytes:
    """Return an export with these rows."""
    lines = ["可疑账户导出清单,,,", "导出机构:演示银行,,,", "", HEADINGS]
    lines += [
        f'{number},"{row.account}\t","  {row.name} ",{row.id_number},{row.phone},3006,87,2026-03-14,"12,345.67",'
        f'"9,800.00",2026-11-05 14:03:22,付,{row.next_hop},{row.next_name},{row.next_hop},集中转出'
        for number, row in enumerate(rows, 1)
    ]
    return ("\r\n".join(lines) + "\r\n").encode("gb18030")
