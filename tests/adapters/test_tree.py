"""Trees become messages: records, lists, what stands twice, what is left over, and where each value stood."""

import pytest

from adapters.errors import FileRefused, ProfileRefused
from adapters.model import Converted, HeldBack
from schemas.v1 import notice_pb2
from tests.adapters.trees import held, made, not_carried, one, read

NOTICE = """
[[record]]
name = "notice"
at = "{at}"
message = "SuspiciousAccountNotice"
{extra}
[record.field."account"]
from = "No | Other/No"
parse = "account"
check = {{ required = true }}
[record.field."holder.name"]
from = "../Head/Name"
[record.field."features"]
from = "Feature"
parse = {{ as = "code", scheme = "s" }}
[record.each."transactions"]
over = "Entry[@kind=t]"
[record.each."transactions".field."amount"]
from = "Amt"
parse = {{ as = "money", currency_from = "Amt/@Ccy" }}
[record.each."transactions".field."at"]
from = "../Day"
parse = {{ as = "instant", formats = ["yyyy-MM-dd"] }}
[record.each."next_hops"]
over = "Entry/To | Hop"
if = 'row["Number"] != "0"'
[record.each."next_hops".field."."]
from = "Number"
parse = "account"
"""
RECORD = """<R xmlns="urn:x:1"><No>111222</No><Feature>1</Feature><Feature>2</Feature><Day>2026-11-20</Day>
<Entry kind="t"><Amt Ccy="USD">1.50</Amt><To><Number>333444</Number></To></Entry>
<Entry kind="t"><Amt>2</Amt><To><Number>0</Number></To></Entry><Entry kind="u"><Amt>9</Amt></Entry></R>"""
FILE = f"<Batch><Head><Name>演示</Name><Sum>3</Sum></Head>{RECORD}</Batch>"


def test_a_record_becomes_a_message_with_its_lists():
    """Alternatives, parents, repeated codes, two lists with demands and conditions, currencies in attributes."""
    message = one(made(NOTICE.format(at="R", extra="")), FILE).message
    assert isinstance(message, notice_pb2.SuspiciousAccountNotice)
    assert (message.account.number, message.holder.name) == ("111222", "演示")
    assert [code.code for code in message.features] == ["1", "2"]
    amounts = [(item.amount.minor_units, item.amount.currency) for item in message.transactions]
    assert amounts == [(150, "USD"), (200, "EUR")]
    assert [item.at.raw for item in message.transactions] == ["2026-11-20"] * 2
    assert [hop.number for hop in message.next_hops] == ["333444"]


def test_every_text_that_nothing_reads_is_listed():
    """Inside the record by its path from there, outside by the path from the root; what `ignore` names is not."""
    outcome = one(made(NOTICE.format(at="R", extra="")), FILE)
    assert not_carried(outcome) == ["Entry/To/Number", "Entry/@kind", "Entry/Amt", "/Batch/Head/Sum"]
    assert list(outcome.message.provenance.warnings) == ["element_not_carried"]
    some = made(NOTICE.format(at="R", extra=""), source='ignore = ["Head/*", "**/@kind", "Entry/Amt"]')
    assert not_carried(one(some, FILE)) == ["Entry/To/Number"]


@pytest.mark.parametrize("encoding", ["UTF-8", "GB18030"])
def test_the_byte_range_of_every_value_holds_its_text(encoding):
    """What stands at [start, end) of the file is the element with the very text that lineage has as raw."""
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!-- <No>x</No> -->{FILE.replace("111222", "<![CDATA[111222]]>")}'
    )
    data = text.encode(encoding)
    outcome = one(made(NOTICE.format(at="R", extra="")), data)
    items = [item for item in outcome.lineage if item.raw]
    assert len(items) == 10
    for item in items:
        piece = data[item.start : item.end].decode(encoding)
        assert item.raw in piece
        assert piece.startswith(f"<{item.column.split(' | ')[0].split('/')[-1]}") or "@" in item.column
    fields = {item.field: item for item in items}
    pieces = {field: data[item.start : item.end].decode(encoding) for field, item in fields.items()}
    assert pieces["holder.name"] == "<Name>演示</Name>"
    assert pieces["transactions[1].amount"] == "<Amt>2</Amt>"
    assert {"features", "next_hops[0]", "transactions[0].at"} <= set(fields)


@pytest.mark.parametrize(
    ("at", "data"),
    [
        ("**/R", FILE),
        ("**/R", RECORD.replace("</R>", "<Head/></R>")),
        ("**/R", f"<Wrap><In><Deep>{FILE}</Deep></In></Wrap>"),
        ("/Batch/R", FILE),
        ("/*/R", FILE),
        ("", RECORD),
    ],
)
def test_a_record_is_found_in_any_wrapper(at, data):
    """With **/ at any depth, the root itself included; from the root; or the root."""
    assert one(made(NOTICE.format(at=at, extra="")), data).message.account.number == "111222"


def test_several_records_come_in_the_order_of_the_file():
    """Each with its own bytes, line and number; one that cannot be read costs its neighbours nothing."""
    data = "<B><Head/>\n<R><No>111222</No></R>\n<S><No>9</No></S><R><No></No></R>\n<R><No>333444</No></R></B>"
    profile = made(NOTICE.format(at="R", extra="") + NOTICE.format(at="S", extra="").replace('"notice"', '"other"'))
    outcomes = read(profile, data)
    assert [type(outcome) for outcome in outcomes] == [Converted, Converted, HeldBack, Converted]
    assert [(outcome.record, outcome.line) for outcome in outcomes] == [(1, 2), (2, 3), (3, 3), (4, 4)]
    assert [outcome.raw for outcome in outcomes] == [
        b"<R><No>111222</No></R>",
        b"<S><No>9</No></S>",
        b"<R><No></No></R>",
        b"<R><No>333444</No></R>",
    ]
    assert isinstance(outcomes[2], HeldBack)
    assert (outcomes[2].code, outcomes[2].column) == ("LF-ROW-MISSING", "No | Other/No")


def test_equal_records_under_different_heads_differ():
    """The same bytes mean another thing where the record reads what stands above it."""
    two = "<F>" + "".join(f"<B><Head><Name>{name}</Name></Head><R><No>111222</No></R></B>" for name in "ab") + "</F>"
    first, second = read(made(NOTICE.format(at="B/R", extra="")), two)
    assert first.raw == second.raw
    assert first.context != second.context


def test_one_element_can_be_two_messages():
    """Two kinds of record at one place: two messages, told apart, and what one of them reads is carried."""
    other = NOTICE.format(at="R", extra="").replace('"notice"', '"other"')
    outcomes = read(made(NOTICE.format(at="R", extra="") + other), FILE)
    assert [type(outcome) for outcome in outcomes] == [Converted, Converted]
    assert outcomes[0].context != outcomes[1].context


def test_what_stands_twice_is_held_back_and_not_chosen():
    """Two texts for one place are ambiguous; an empty one beside it is not; `join` says that both are meant."""
    profile = made(NOTICE.format(at="R", extra=""))
    outcome = held(profile, "<B><R><No>111222</No><No>333444</No></R></B>")
    assert (outcome.code, outcome.column) == ("LF-ROW-REPEATED", "No | Other/No")
    assert "333444" not in outcome.cause
    assert one(profile, "<B><R><No/><No>111222</No></R></B>").message.account.number == "111222"
    joined = NOTICE.format(at="R", extra="").replace('from = "../Head/Name"', 'from = "Line"\njoin = " / "')
    data = "<B><R><No>111222</No><Line>a</Line><Line>b</Line></R></B>"
    assert one(made(joined), data).message.holder.name == "a / b"


@pytest.mark.parametrize("condition", ['row["Kind"] == "a"', 'row["Kind"].startsWith("a")'])
def test_a_record_of_no_kind_is_held_back(condition):
    """What `at` finds and no condition takes is told; nothing is passed over in silence."""
    extra = f"if = '{condition}'"
    data = "<B><R><No>111222</No><Kind>a</Kind></R><R><No>111222</No><Kind>b</Kind></R></B>"
    good, bad = read(made(NOTICE.format(at="R", extra=extra)), data)
    assert isinstance(good, Converted)
    assert isinstance(bad, HeldBack)
    assert (bad.code, bad.record) == ("LF-ROW-KIND", 2)
    (only,) = read(made(NOTICE.format(at="R[Kind=a]", extra="")), data)
    assert isinstance(only, Converted)
    assert not_carried(only) == ["/B/R/No", "/B/R/Kind"]


@pytest.mark.parametrize(("count", "parts"), [(256, 1), (257, 2), (513, 3)])
def test_a_list_that_is_too_long_is_spread(count, parts):
    """At the limit one message; beyond it several, each element in one of them; without `spread` it is held back."""
    entries = '<Entry kind="t"><Amt>1</Amt></Entry>' * count
    data = f"<B><R><No>111222</No>{entries}</R></B>"
    outcomes = read(made(NOTICE.format(at="R", extra='spread = "transactions"')), data)
    assert len(outcomes) == parts
    assert sum(len(outcome.message.transactions) for outcome in outcomes) == count
    assert len({outcome.context for outcome in outcomes}) == parts
    last = [item.field for item in outcomes[-1].lineage if item.field.startswith("transactions")]
    assert last[0] == "transactions[0].amount"
    assert len(last) == len(outcomes[-1].message.transactions)
    if parts > 1:
        assert held(made(NOTICE.format(at="R", extra="")), data).code == "LF-ROW-LIST"


@pytest.mark.parametrize(
    ("accepted", "fits"),
    [("urn:x:1", True), ("urn:x:*", True), ("urn:y", False), ("urn:x", False), ("urn:x:12", False)],
)
def test_the_namespace_of_a_record_is_asked_for(accepted, fits):
    """A record under another namespace is none of the dialect, with the namespaces that would be."""
    profile = made(NOTICE.format(at="R", extra=""), source=f'namespace = ["{accepted}"]')
    if fits:
        assert one(profile, FILE)
        return
    with pytest.raises(FileRefused) as refused:
        read(profile, FILE)
    assert refused.value.code == "LF-FILE-NO-RECORD"
    assert accepted in refused.value.cure


@pytest.mark.parametrize(
    ("old", "new", "code", "cure"),
    [
        ('over = "Hop"', 'ovre = "Hop"', "LF-MAP-PROFILE-KEY", "did you mean over?"),
        ('name = "notice"', 'nmae = "notice"', "LF-MAP-PROFILE-KEY", "did you mean name?"),
        ('each."next_hops"', 'each."next_hop"', "LF-MAP-PROFILE-FIELD", "next_hops"),
        ('each."next_hops"', 'each."holder"', "LF-MAP-PROFILE-FIELD", "repeated"),
        ('.field."amount"', '.field."amuont"', "LF-MAP-PROFILE-FIELD", "amount"),
        ('field."account"', 'field."acount"', "LF-MAP-PROFILE-FIELD", "account"),
        ('parse = "account"', 'parse = "acount"', "LF-MAP-PROFILE-WORD", "did you mean account?"),
        (
            "SuspiciousAccountNotice",
            "SuspiciousAcountNotice",
            "LF-MAP-PROFILE",
            "did you mean SuspiciousAccountNotice?",
        ),
        ('from = "Feature"', 'from = "Feature["', "LF-MAP-PROFILE-PATH", "A/B"),
        ('over = "Hop"', 'over = "Hop//"', "LF-MAP-PROFILE-PATH", "A/B"),
        ("XTRA", 'spread = "transaction"', "LF-MAP-PROFILE-WORD", "transactions"),
        ("XTRA", 'use = ["nothing"]', "LF-MAP-PROFILE-WORD", "no group"),
        ("XTRA", "if = 'row.x'", "LF-MAP-PROFILE-CONDITION", "row["),
    ],
)
def test_a_wrong_word_is_named_with_the_right_one(old, new, code, cure):
    """Keys, fields, lists, kinds, messages, paths: each is refused when the profile is loaded, with what is near."""
    text = NOTICE.format(at="R", extra="XTRA").replace('"Entry/To | Hop"', '"Hop"')
    text = text.replace(old, new).replace("XTRA", "")
    with pytest.raises(ProfileRefused) as refused:
        made(text)
    assert refused.value.code == code
    assert cure in f"{refused.value.cause}; {refused.value.cure}"


LISTS_INSIDE = """
[[record]]
message = "SuspiciousActivityReport"
const = { "report_kind.scheme" = "x", "report_kind.code" = "y" }
[record.field."report_id"]
from = "No"
check = { required = true }
[record.each."reporter.phones"]
over = "Who/Phone"
[record.each."reporter.phones".field."."]
from = "."
parse = "phone"
[record.each."parties"]
over = "Party"
[record.each."parties".field."name"]
from = "Name"
[record.each."parties".each."organisation_contact"]
over = "Mail"
into = "emails"
[record.each."parties".each."organisation_contact".field."."]
from = "."
"""


def test_a_list_in_which_nothing_is_leaves_no_empty_message_around_it():
    """A sub-message stands only where something is in it, however deep its lists lie; lists that have something stay."""
    profile = made(LISTS_INSIDE)
    bare = one(profile, "<r><No>1</No><Party><Name>N</Name></Party></r>").message
    assert not bare.HasField("reporter")
    assert [list(party.emails) for party in bare.parties] == [[]]
    full = one(profile, "<r><No>1</No><Who><Phone>+4930123456</Phone></Who><Party><Mail>a@b.example</Mail></Party></r>")
    assert [phone.raw for phone in full.message.reporter.phones] == ["+4930123456"]
    assert [list(party.emails) for party in full.message.parties] == [["a@b.example"]]
