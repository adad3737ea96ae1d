"""What one cell can be: each kind reads what it can for certain, and holds back the rest."""

import pytest

from adapters.kinds import id_checksum_valid, luhn_valid
from adapters.moments import zone_of
from schemas.v1 import common_pb2
from tests.adapters.files import ACCOUNT, IDENTITY, NEXT, held, notice, one


def codes(**changes: str) -> list[str]:
    """Return the codes of a row's warnings."""
    return [warning.code for warning in one(notice(**changes)).warnings]


@pytest.mark.parametrize(
    ("cell", "scheme", "number", "sub"),
    [
        (ACCOUNT, "CARD", ACCOUNT, ""),
        (f" {ACCOUNT}\t", "CARD", ACCOUNT, ""),
        (f'"=""{ACCOUNT}"""', "CARD", ACCOUNT, ""),
        (f"'{ACCOUNT}", "CARD", ACCOUNT, ""),
        (f"`{ACCOUNT}", "CARD", ACCOUNT, ""),
        (f"{ACCOUNT}`", "CARD", ACCOUNT, ""),
        ("6299 9900 0000 1000 011", "CARD", ACCOUNT, ""),
        (ACCOUNT.translate({48 + n: 0xFF10 + n for n in range(10)}), "CARD", ACCOUNT, ""),
        (f"\u200b{ACCOUNT}\ufeff", "CARD", ACCOUNT, ""),
        (f"{ACCOUNT}_002", "CARD", ACCOUNT, "002"),
        ("310000123456", "ACCOUNT", "310000123456", ""),
        ("DE89370400440532013000", "IBAN", "DE89370400440532013000", ""),
        ("de89370400440532013000", "IBAN", "DE89370400440532013000", ""),
        ("pay@example.com", "WALLET", "pay@example.com", ""),
    ],
)
def test_account_numbers_are_read_as_they_are_meant(cell, scheme, number, sub):
    """Blanks, guards, full-width digits and invisible characters go; digits stay; the part after an underscore stands apart."""
    account = one(notice(账号=cell)).message.account
    assert (account.scheme, account.number, account.sub_account) == (scheme, number, sub)


@pytest.mark.parametrize(
    "cell",
    [
        "6.22202E+18",
        "6.22202e18",
        "6E+18",
        '"=""6.2E+18"""',
        "6299990000001000000",
        "62999900000010000.0",
        "6.29999E+18_01",
    ],
)
def test_a_ruined_account_number_is_never_repaired(cell):
    """Scientific notation, a decimal, fifteen digits filled up with zeros: held back, and the cure says how to export."""
    outcome = held(notice(账号=cell))
    assert outcome.code == "LF-ROW-LOSSY-NUMBER"
    assert "text" in outcome.cure
    assert "账号" in outcome.cause
    assert "62" not in outcome.cause


@pytest.mark.parametrize("cell", ["6" * 65, "a/b", "户主", "-1 2;", "x" * 70])
def test_what_is_no_account_number_is_held_back(cell):
    """Letters of other scripts, separators and numbers beyond measure are held back."""
    assert held(notice(账号=cell)).code == "LF-ROW-ACCOUNT"


def test_a_masked_number_never_looks_whole():
    """A number with hidden digits is marked, so that no order can be made of it."""
    account = one(notice(下一跳账号="6226******5669")).message.next_hops[0]
    assert (account.masked, account.scheme, account.number) == (True, "ACCOUNT", "6226******5669")


def test_a_card_number_that_fails_its_check_is_sent_with_a_warning():
    """The Luhn check warns; real cards fail it."""
    assert codes(账号=ACCOUNT[:-1] + "9") == ["card_checksum_bad"]
    assert codes() == []


@pytest.mark.parametrize(
    ("cell", "id_type", "number", "warnings"),
    [
        (IDENTITY, "GB11643", IDENTITY, []),
        ("11010519491231002x", "GB11643", "11010519491231002X", []),
        ("11010519491231002Ｘ", "GB11643", "11010519491231002X", []),
        (IDENTITY[:-1] + "0", "GB11643", IDENTITY[:-1] + "0", ["id_checksum_bad"]),
        ("110105491231002", "GB11643", "110105491231002", ["id_15_digits"]),
        ("91310000MA1FL0000X", "GB32100", "91310000MA1FL0000X", []),
        ("E12345678", "OTHER", "E12345678", []),
    ],
)
def test_identity_numbers_are_told_apart(cell, id_type, number, warnings):
    """A citizen's number, an organisation's, a passport: a bad checksum is sent and marked, never refused or repaired."""
    outcome = one(notice(证件号码=cell))
    holder = outcome.message.holder
    assert (holder.id_type, holder.id_number, holder.name) == (id_type, number, "演示户")
    assert [warning.code for warning in outcome.warnings] == warnings
    assert holder.id_checksum_bad is ("id_checksum_bad" in warnings)
    assert list(outcome.message.provenance.warnings) == warnings


def test_checksums_agree_with_the_standards_examples():
    """The worked examples: GB 11643-1999 and the card number of ISO/IEC 7812."""
    assert id_checksum_valid("11010519491231002X")
    assert not id_checksum_valid("110105194912310021")
    assert luhn_valid("4992739871" + "6")
    assert not luhn_valid("4992739871" + "7")


@pytest.mark.parametrize(
    ("cell", "e164", "kind"),
    [
        ("13800138000", "+8613800138000", "E164"),
        ("17012345678", "+8617012345678", "E164"),
        ("+86 138 0013 8000", "+8613800138000", "E164"),
        ("0086-13800138000", "+8613800138000", "E164"),
        ("8613800138000", "+8613800138000", "E164"),
        ("086-010-66660000", "+861066660000", "E164"),
        ("0755-86660000", "+8675586660000", "E164"),
        ("+44 20 7946 0958", "+442079460958", "E164"),
        ("sip:+12025550123@example.com", "+12025550123", "E164"),
        ("tel:+12025550123;phone-context=x", "+12025550123", "E164"),
        ("1380013800\u200b0", "+8613800138000", "E164"),
        ("110", "", "SHORT"),
        ("96110", "", "SHORT"),
        ("anonymous", "", "OTHER"),
        ("138****8000", "", "OTHER"),
        ("0123456789", "", "OTHER"),
        ("13800138000.0", "", "OTHER"),
    ],
)
def test_telephone_numbers_are_read_or_kept_raw(cell, e164, kind):
    """What is a number becomes E.164; what is none stays as it is and says so."""
    phone = one(notice(手机号=cell)).message.holder_phone
    assert phone.e164 == e164
    assert phone.kind == common_pb2.PhoneKind.Value(f"PHONE_KIND_{kind}")
    assert phone.raw


def test_a_region_from_the_profile_is_marked_as_assumed():
    """A number that names its country assumes nothing; one that does not is marked."""
    assert one(notice(手机号="13800138000")).message.holder_phone.region_assumed
    assert not one(notice(手机号="+8613800138000")).message.holder_phone.region_assumed


def test_a_ruined_or_endless_telephone_number_is_held_back():
    """A spreadsheet ruins telephone numbers too."""
    assert held(notice(手机号="1.38001E+10")).code == "LF-ROW-LOSSY-NUMBER"
    assert held(notice(手机号="1" * 200)).code == "LF-ROW-PHONE"


@pytest.mark.parametrize(
    ("cell", "fen"),
    [
        ("1234.56", 123_456),
        ("1234.5", 123_450),
        ("1234", 123_400),
        ("0.01", 1),
        ('"1,234,567.89"', 123_456_789),
        ("¥28.16", 2816),
        ("￥28.16", 2816),
        ("28.16元", 2816),
        ("+10000.00", 1_000_000),
        ("-5.00", -500),
        ("(12.30)", -1230),
        ("１２.３０", 1230),
        ("12.3000", 1230),
        ("92233720368547758.07", 2**63 - 1),
    ],
)
def test_amounts_become_whole_fen(cell, fen):
    """Every way of writing an amount becomes whole minor units, the sign kept, no float between."""
    balance = one(notice(余额=cell)).message.balance
    assert (balance.minor_units, balance.currency, balance.currency_assumed) == (fen, "CNY", True)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("12.345", "LF-ROW-AMOUNT"),
        ("12,34", "LF-ROW-AMOUNT"),
        ('"1,23,456"', "LF-ROW-AMOUNT"),
        ("6740,91 EUR".replace(",", "."), "LF-ROW-AMOUNT"),
        ("1.5E+06", "LF-ROW-LOSSY-NUMBER"),
        ("92233720368547758.08", "LF-ROW-AMOUNT"),
        ("9" * 40, "LF-ROW-AMOUNT"),
        (".5", "LF-ROW-AMOUNT"),
        ("٣٤", "LF-ROW-AMOUNT"),
        ("--5", "LF-ROW-AMOUNT"),
        ("NaN", "LF-ROW-AMOUNT"),
        ("inf", "LF-ROW-AMOUNT"),
    ],
)
def test_what_is_no_amount_is_held_back(cell, code):
    """Three decimals, odd groups, words and numbers beyond measure are held back, never rounded."""
    outcome = held(notice(余额=cell)) if "," not in cell or cell[0] == '"' else held(notice(余额=f'"{cell}"'))
    assert outcome.code == code


@pytest.mark.parametrize(
    ("cell", "utc_ms", "precision"),
    [
        ("2026-11-20 10:00:01", 1_795_140_001_000, "SECOND"),
        ("2026/11/20 10:00:01", 1_795_140_001_000, "SECOND"),
        ("20261120100001", 1_795_140_001_000, "SECOND"),
        ("2026-11-20 10:00", 1_795_140_000_000, "MINUTE"),
        ("2026/1/5 9:05", 1_767_575_100_000, "MINUTE"),
    ],
)
def test_times_are_read_in_the_profiles_zone(cell, utc_ms, precision):
    """A time without a zone is Beijing's, because the profile says so, and the message says that it was assumed."""
    at = one(notice(交易时间=cell)).message.transactions[0].at
    assert (at.utc_ms, at.raw, at.zone) == (utc_ms, cell, "Asia/Shanghai")
    assert at.precision == common_pb2.TimePrecision.Value(f"TIME_PRECISION_{precision}")
    assert at.zone_source == common_pb2.ZONE_SOURCE_PROFILE


@pytest.mark.parametrize(
    "cell",
    [
        "2026-02-30 10:00:00",
        "20261120330909",
        "2026-11-20T",
        "20-11-2026 10:00",
        "0",
        "2026-11-20 10:61:00",
        "0000-01-01 00:00:00",
    ],
)
def test_a_time_that_never_was_is_held_back(cell):
    """A 30 February, an hour 33, half a time, another order of parts: held back, never taken for now."""
    assert held(notice(交易时间=cell)).code == "LF-ROW-DATE"


def test_summer_time_is_counted():
    """Beijing had summer time in 1988: noon that day is 03:00 UTC, and an hour that came twice is noted."""
    day = one(notice(开户日期="1988-07-01 12:00:00")).message.opened_at
    assert day.utc_ms == 583_729_200_000
    assert codes(开户日期="1988-09-11 01:30:00") == ["time_ambiguous"]
    assert zone_of("Asia/Shanghai").key == "Asia/Shanghai"


@pytest.mark.parametrize("word", ["", "-", "--", "\\N", "无", " - ", "\t"])
def test_words_for_nothing_are_nothing(word):
    """A word that means nothing leaves the field unset, and in a needed cell it is missing."""
    message = one(notice(手机号=word, 余额=word, 下一跳账号=word, 交易时间=word)).message
    assert not message.HasField("holder_phone")
    assert not message.HasField("balance")
    assert not message.next_hops
    assert held(notice(账号=word)).code == "LF-ROW-MISSING"


def test_codes_keep_the_word_they_came_from():
    """A feature is given as a code, a word or several of both; a code that nobody knows is sent with a warning."""
    features = one(notice(可疑特征="分散入集中出；3008|黑名单账户")).message.features
    assert [(item.scheme, item.code, item.raw) for item in features] == [
        ("tfms.feature", "3006", "分散入集中出"),
        ("tfms.feature", "3008", ""),
        ("tfms.feature", "2001", "黑名单账户"),
    ]
    assert codes(可疑特征="7777") == ["code_unknown"]


def test_a_direction_that_nobody_knows_is_held_back():
    """A wrong direction would turn a victim into a suspect, so it is not guessed."""
    assert held(notice(收付标志="转")).code == "LF-ROW-CODE"


def test_mojibake_is_held_back():
    """UTF-8 that was once read as GBK has lost characters for good; a rare but real name is not taken for it."""
    outcome = held(notice(户名="明细账户".encode().decode("gbk")))
    assert outcome.code == "LF-ROW-MOJIBAKE"
    for name in ("张三", "曾单仇", "买买提·吐尔逊", "浜", "𠮷田"):
        assert one(notice(户名=name)).message.holder.name == name


def test_control_characters_are_held_back_and_names_stay_as_given():
    """A damaged text is held back; blanks inside a name and traditional characters stay."""
    assert held(notice(户名="演\x07示")).code == "LF-ROW-CONTROL"
    assert one(notice(户名="  歐陽 大明 ")).message.holder.name == "歐陽 大明"


def test_lineage_tells_what_was_done_to_each_cell():
    """Every value leads back to record, line, header, the text as it stood, and what was done to it."""
    outcome = one(notice(账号=f'"=""{ACCOUNT}"""', 户名=" 演示户 ", 下一跳账号=f"\u200b{NEXT}"))
    by_field = {item.field: item for item in outcome.lineage}
    account = by_field["account"]
    assert (account.record, account.line, account.column) == (1, 2, "账号")
    assert (account.raw, account.verb) == (f'="{ACCOUNT}"', "unguard, parse account")
    assert by_field["holder.name"].verb == "trim, parse text"
    assert by_field["next_hops[0]"].verb == "remove invisible, parse account"
    assert by_field["balance"].verb == "parse money"
    assert {"account", "holder", "holder.name", "holder_phone", "features", "transactions[0].at"} <= set(by_field)
