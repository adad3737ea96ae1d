"""Profiles: a wrong one is refused when it is read, with the nearest right word."""

from importlib import resources

import pytest

import adapters
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import ProfileRefused

FOLDER = resources.files("adapters") / "profiles"
TEXTS = {item.name: item.read_text("utf-8") for item in FOLDER.iterdir() if item.name.endswith(".toml")}
NOTICE = TEXTS["bank-notice-csv.toml"]


def refused(text: str, beside: dict[str, str] | None = None) -> ProfileRefused:
    """Return why a profile is refused."""
    with pytest.raises(ProfileRefused) as error:
        load(text, beside or TEXTS)
    return error.value


def test_every_profile_reads_and_is_named_after_its_file():
    """The profiles that come with the product are whole."""
    assert set(adapters.profiles()) == {
        name.removesuffix(".toml") for name in TEXTS if name.endswith(".toml") and not name.endswith(".records.toml")
    }
    for name, profile in adapters.profiles().items():
        assert f"{name}.toml" in TEXTS
        assert profile.title
        assert profile.message
        assert profile.version == "1"


@pytest.mark.parametrize(
    ("right", "wrong", "code", "cure"),
    [
        ("delimiter =", "delimeter =", "LF-MAP-PROFILE-KEY", "did you mean delimiter?"),
        ("encodings =", "encoding =", "LF-MAP-PROFILE-KEY", "did you mean encodings?"),
        ('parse = "account"', 'prase = "account"', "LF-MAP-PROFILE-KEY", "did you mean parse?"),
        ("required = true", "requird = true", "LF-MAP-PROFILE-KEY", "did you mean required?"),
        ("lines_before_max", "zzzz", "LF-MAP-PROFILE-KEY", "leave it out"),
        ('from = "balance"', 'from = "balanse"', "LF-MAP-PROFILE-WORD", "did you mean balance?"),
        ('parse = "phone"', 'parse = "fone"', "LF-MAP-PROFILE-WORD", "did you mean phone?"),
        ('map = { table = "direction" }', 'map = { table = "directions" }', "LF-MAP-PROFILE-WORD", "did you mean direction?"),
        ('"付" = "TRANSACTION_DIRECTION_OUT"', '"付" = "TRANSACTION_DIRECTION_OUTT"', "LF-MAP-PROFILE-WORD", "did you mean TRANSACTION_DIRECTION_OUT?"),
        ('[field."narrative"]', '[field."narative"]', "LF-MAP-PROFILE-FIELD", "did you mean narrative?"),
        ('[field."account.kind"]', '[field."account.kinds"]', "LF-MAP-PROFILE-FIELD", "did you mean kind?"),
        ('required = ["account", "features"]', 'required = ["acount"]', "LF-MAP-PROFILE-WORD", "did you mean account?"),
        ('message = "SuspiciousAccountNotice"', 'message = "SuspiciousNotice"', "LF-MAP-PROFILE", "schemas"),
        ('parse = "phone"', 'parse = "account"', "LF-MAP-PROFILE", "kind"),
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Shanghei"', "LF-MAP-PROFILE", "tzdata"),
        ('"联系电话"', '"账号"', "LF-MAP-PROFILE", "one of them"),
        ("version = 1", "version = 2", "LF-MAP-PROFILE-KEY", "correct"),
        ("scale = 2", 'scale = "2"', "LF-MAP-PROFILE-KEY", "correct"),
        ("[target]", "[target", "LF-MAP-PROFILE", "correct"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_named_with_the_nearest_right_one(right, wrong, code, cure):
    """Keys, columns, kinds, tables, values, fields and messages: none is ignored, and the cure names the nearest."""
    assert right in NOTICE
    error = refused(NOTICE.replace(right, wrong))
    assert error.code == code
    assert cure in error.cure


def test_the_platforms_profiles_are_checked_too():
    """A code, a group and an included file that are not there are refused."""
    bank, shared = TEXTS["tfms-bank.toml"], TEXTS["tfms.records.toml"]
    assert "100109" in refused(bank.replace('"100102"', '"100109"')).cause
    broken = {**TEXTS, "tfms.records.toml": shared.replace('use = ["order", "first"', 'use = ["ordr", "first"')}
    assert refused(bank, broken).cure == "did you mean order?"
    broken = {**TEXTS, "tfms.records.toml": shared.replace('"STOP_PAYMENT_KIND_LIFT"', '"STOP_PAYMENT_KIND_LIFTED"')}
    assert refused(bank, broken).cure == "did you mean STOP_PAYMENT_KIND_LIFT?"
    assert refused(bank, {"x": ""}).cure == "put it there"


OWN = """
[profile]
name = "other-bank"
version = "7"
title = "Another bank"
[source]
format = "csv"
delimiter = "|"
zone = "Asia/Shanghai"
currency = "CNY"
null = [""]
[source.header]
required = ["no"]
[source.columns]
no = ["acct"]
why = ["why"]
sum = ["fen"]
first = ["first"]
last = ["last"]
whole = ["acct_branch"]
[target]
message = "SuspiciousAccountNotice"
[field."account"]
from = "no"
parse = "account"
check = { required = true, pattern = "[0-9]{6,}" }
[field."features"]
from = "why"
split = ","
parse = { as = "code", scheme = "other.why" }
[field."balance"]
from = "sum"
parse = "money"
scale = 0
when = { from = "why", is = ["a", "a,b"] }
[field."holder.name"]
from = ["first", "last"]
join = "·"
[field."account.bank"]
from = "whole"
split = { at = "/", part = 1 }
parse = "bank"
[field."narrative"]
const = "from the other bank"
"""


def test_a_profile_of_ones_own_is_read_and_used():
    """A dialect is added by a file alone: other headers, another delimiter, another unit, conditions and joined cells."""
    profile = load(OWN)
    data = b"acct|why|fen|first|last|acct_branch\n123456|a,b|1999|A|B|x/310000000001\n123456|c|5||B|\n12|a||||\n"
    first, second, third = convert(profile, data)
    message = first.message
    assert (message.balance.minor_units, message.holder.name, message.account.bank.code) == (
        1999,
        "A·B",
        "310000000001",
    )
    assert [feature.code for feature in message.features] == ["a", "b"]
    assert message.narrative == "from the other bank"
    assert (message.provenance.profile, message.provenance.profile_version) == ("other-bank", "7")
    assert not second.message.HasField("balance")
    assert second.message.holder.name == "B"
    assert third.code == "LF-ROW-PATTERN"
    assert ("narrative", "const") in [(item.field, item.verb) for item in first.lineage]


def test_only_the_platform_of_orders_says_what_a_record_is_for():
    """Purpose and legal basis are the sender's to state: a format implies them only where its codes are legal orders."""
    named = {
        name for name, text in TEXTS.items() if "case_context.purpose" in text or "case_context.legal_basis" in text
    }
    assert named == {"tfms.records.toml", "tfms-payment.toml"}
