"""Messages become trees: layout, attributes, lists, head, literals and arrays; and come back equal but for the loss."""

import json

import pytest
from lxml import etree

from adapters.back import bring_back
from adapters.errors import FileRefused, ProfileRefused
from adapters.profile import Profile
from adapters.render import render
from schemas.v1 import notice_pb2
from tests.adapters.files import CONTEXT
from tests.adapters.trees import made, one

FIELDS = """
[record.field."account"]
from = "Acct/Id[Scheme=local]/No | Acct/Iban"
parse = "account"
[record.field."holder.name"]
from = "{up}Head/Name"
[record.field."holder.id_number"]
from = "Document"
when = {{ from = "Acct/@kind", is = ["person", "human"] }}
[record.field."features"]
from = "Feature"
parse = {{ as = "code", scheme = "s" }}
[record.field."holder_phone"]
from = "Phone"
parse = "phone"
[record.field."balance"]
from = "Bal"
parse = {{ as = "money", currency_from = "Bal/@Ccy" }}
[record.each."transactions"]
over = "Moves/Move"
layout = ["Amt/@Ccy", "Amt", "Day", "Parties/Party"]
[record.each."transactions".field."amount"]
from = "Amt"
parse = {{ as = "money", currency_from = "Amt/@Ccy" }}
[record.each."transactions".field."at"]
from = "Day"
parse = {{ as = "instant", formats = ["yyyy-MM-dd"] }}
[record.each."next_hops"]
over = "Hop"
layout = ["No"]
[record.each."next_hops".field."."]
from = "No"
parse = "account"
"""
LAYOUT = 'layout = ["Acct/@kind", "Acct/Id[Scheme=local]/No", "Bal/@Ccy", "Bal", "Feature", "Document", "Moves/Move", "Hop"]\n'
XML = made(
    f'[[record]]\ncode = "N1"\nat = "**/Note/Body"\nmessage = "SuspiciousAccountNotice"\n{LAYOUT}'
    + FIELDS.format(up="../")
    + '[writing]\nroot = "Note"\nnamespace = "urn:x"\n'
    + '[writing.head]\n"Head/Code" = "{code}"\n"Head/To" = "{agency}"\n"Head/@v" = "1"\n',
    source='ignore = ["Head/*"]\nregion = "CN"\nnamespace = ["urn:x"]',
)
JSON = made(
    f'[[record]]\nmessage = "SuspiciousAccountNotice"\n{LAYOUT}'.replace('"Hop"]', '"Hop", "Head/Name"]').replace(
        "Bal/@Ccy", "Currency"
    )
    + FIELDS.format(up="").replace("Bal/@Ccy", "Currency").replace("Amt/@Ccy", "Ccy")
    + '[writing]\nliterals = ["Bal", "Moves/Move/Amt"]\narrays = ["Feature", "Moves/Move"]\n',
    form="json",
    source='region = "CN"',
)


def notice() -> notice_pb2.SuspiciousAccountNotice:
    """Return a message that both can carry."""
    message = notice_pb2.SuspiciousAccountNotice()
    message.account.scheme, message.account.number = "ACCOUNT", "111222"
    message.holder.id_number = "X1"
    message.balance.minor_units, message.balance.currency = 123456, "USD"
    message.features.add(scheme="s", code="1")
    for number in (1, 2):
        move = message.transactions.add()
        move.amount.minor_units, move.amount.currency = -100 * number, "EUR"
        move.at.utc_ms = 1_795_132_800_000
        move.at.precision = 1
        move.at.zone_source, move.at.zone, move.at.raw = 2, "UTC", "2026-11-20"
    message.next_hops.add(scheme="ACCOUNT", number="333444")
    return message


def test_xml_is_written_in_the_order_of_its_layout():
    """Namespace, head, demands in brackets, attributes, lists: each where the layout has it, and nothing empty."""
    data = render(XML, notice(), CONTEXT).data
    root = etree.fromstring(data)
    assert etree.QName(root) == etree.QName("urn:x", "Note")
    plain = data.decode().replace("\n", "").replace("  ", "")
    assert plain.partition("<Note")[2] == (
        ' xmlns="urn:x"><Head v="1"><Code>N1</Code><To>bank-b</To></Head><Body>'
        '<Acct kind="person"><Id><Scheme>local</Scheme><No>111222</No></Id></Acct>'
        '<Bal Ccy="USD">1234.56</Bal><Feature>1</Feature><Document>X1</Document>'
        '<Moves><Move><Amt Ccy="EUR">-1.00</Amt><Day>2026-11-20</Day></Move>'
        '<Move><Amt Ccy="EUR">-2.00</Amt><Day>2026-11-20</Day></Move></Moves><Hop><No>333444</No></Hop></Body></Note>'
    )


def test_json_is_written_with_its_numbers_and_arrays():
    """Amounts stand as numbers with the digits that they have, and a list of one is an array where it must be."""
    data = render(JSON, notice(), CONTEXT).data
    whole = json.loads(data, parse_float=str, parse_int=str)
    assert (whole["Bal"], whole["Currency"]) == ("1234.56", "USD")
    assert b'"Bal": 1234.56,' in data
    assert whole["Feature"] == ["1"]
    assert [move["Day"] for move in whole["Moves"]["Move"]] == ["2026-11-20"] * 2
    assert whole["Hop"] == {"No": "333444"}


@pytest.mark.parametrize("profile", [XML, JSON], ids=["xml", "json"])
def test_a_message_comes_back_equal(profile: Profile):
    """Message, document, message: equal, and the loss is empty."""
    message = notice()
    rendered = render(profile, message, CONTEXT)
    assert rendered.loss == ()
    again = one(profile, rendered.data).message
    again.ClearField("provenance")
    assert again == message
    returned = bring_back(profile, message, CONTEXT)
    assert (returned.loss, returned.added) == ((), ())


def test_what_the_format_has_no_place_for_is_named():
    """Fields without a place in the layout, elements of lists that say more, codes of another list."""
    message = notice()
    message.holder.name = "N"
    message.holder_phone.e164 = "+8619900000001"
    message.transactions[1].channel = "p"
    message.features.add(scheme="other", code="2")
    loss = set(render(XML, message, CONTEXT).loss)
    assert {"holder.name", "holder_phone.e164", "transactions[1].channel"} <= loss
    assert {"features[0].code", "features[1].code"} & loss


def test_what_xml_cannot_hold_is_refused():
    """A control character is not dropped: the message is not written."""
    message = notice()
    message.holder.id_number = "a\x01"
    with pytest.raises(FileRefused) as refused:
        render(XML, message, CONTEXT)
    assert refused.value.code == "LF-RENDER-CONTROL"


def test_a_profile_must_say_what_its_root_is():
    """XML without the name of a root is refused when the profile is loaded, not when the first message is written."""
    with pytest.raises(ProfileRefused, match="root"):
        made('[[record]]\nmessage = "AccountQuery"\n[writing]\nempty = true\n')
