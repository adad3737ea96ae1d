"""Bank files, call records and bundles, read by a stranger: whose side, which way, and what it is not."""

import io
import json
from importlib import resources

import openpyxl
import pytest

from adapters.catalogue import profiles
from adapters.model import Converted
from schemas.v1 import notice_pb2, telecom_pb2
from tests.adapters.test_ber import NUMBER, tlv
from tests.adapters.trees import held, not_carried, one, read

RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
GREEN = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"


def bai2(status="1", amount=1000):
    """Return a file of one account with one debit."""
    total = amount + 500
    return (
        "01,BANKX,CUST,260501,1200,1,80,1,2/\n"
        f"02,CUST,BANKX,{status},260501,1200,USD,2/\n03,123456,USD,010,500,,/\n16,475,{amount},Z,REF,CUST,check/\n"
        f"49,{total},3/\n98,{total},1,5/\n99,{total},1,7/\n"
    )


@pytest.mark.parametrize("status", ["2", "4"])
def test_a_group_that_is_a_test_or_takes_back_is_not_booked(status):
    """A group with status deletion or test brings no movements."""
    assert held(profiles()["bai2"], bai2(status)).code == "LF-BAI2-STATUS"


@pytest.mark.parametrize(("status", "listed"), [("1", []), ("3", ["group/status"])])
def test_a_group_that_corrects_says_so(status, listed):
    """A correction is read, and that it is one is listed as not carried."""
    assert not_carried(one(profiles()["bai2"], bai2(status))) == listed


def test_a_debit_of_less_than_nothing_is_no_debit():
    """The type of a movement says which way the money went; an amount with a minus says something else."""
    assert held(profiles()["bai2"], bai2(amount=-1000)).code == "LF-BAI2-FIELD"


def statement(account):
    """Return an MT940 with one movement."""
    return (
        "{1:F01BANKDEFFAXXX0000000000}{2:I940CLNTGB2LXXXXN}{4:\r\n:20:S1\r\n" + account + "\r\n:28C:1/1\r\n"
        ":60F:C260501EUR100,00\r\n:61:2605010501RC20,00NTRFREF1//BR1\r\n:62F:C260501EUR80,00\r\n-}"
    )


def test_an_account_with_the_code_of_its_bank_is_read():
    """Field 25 with option P has the account in its first line and its bank in the second."""
    message = one(profiles()["swift-mt940"], statement(":25P:12345678\r\nBANKDEFFXXX")).message
    assert (message.account.number, message.bank.code) == ("12345678", "BANKDEFFXXX")


def nacha(code, *, kind="WEB", description="TRANSFER", addenda="", amount=12354, odfi="12104288", rdfi="09100001"):
    """Return a batch of one entry, as a file without header."""
    credit = code[1] in "1234"
    header = f"5200{'PLATFORM X':16}{'':20}1234567890{kind}{description:10}{'':6}{'260501':6}   1{odfi}0000001"
    entry = (
        f"6{code}{rdfi}9{'123456789':17}{amount:010}{'R-1':15}{'JO EXAMPLE':22}  {'1' if addenda else '0'}{odfi}0000001"
    )
    more = [f"799{addenda:91}"] if addenda and kind != "COR" else [f"798{addenda:91}"] if addenda else []
    debits, credited = (0, amount) if credit else (amount, 0)
    control = f"8200{1 + len(more):06}{int(rdfi):010}{debits:012}{credited:012}1234567890{'':25}{odfi}0000001"
    return "\n".join([header, entry, *more, control]) + "\n"


RETURN = f"R01{'091000010000001':15}{'':6}{'12104288':8}{'INSUFFICIENT FUNDS':44}121042880000001"
CHANGE = f"C01{'091000010000001':15}{'':6}{'12104288':8}{'1918171614':29}{'':15}121042880000001"


def test_the_bank_of_a_returned_account_is_the_one_that_returns():
    """A return goes to the first bank: the receiver's account is not there, but at the bank in the addenda."""
    (item,) = one(profiles()["nacha"], nacha("26", addenda=RETURN)).message.transactions
    assert (item.counterparty_bank.code, item.account_bank.code, item.reversal) == ("12104288", "09100001", True)


def test_a_first_entry_names_the_receivers_bank_with_its_check_digit():
    """An entry that is no return goes to the receiver's bank."""
    (item,) = one(profiles()["nacha"], nacha("27")).message.transactions
    assert (item.counterparty_bank.code, item.HasField("account_bank"), item.reversal) == ("091000019", False, False)


def test_a_notice_of_change_takes_nothing_back():
    """A notice of change has the code of a return, and returns nothing."""
    (item,) = one(profiles()["nacha"], nacha("21", kind="COR", addenda=CHANGE, amount=0)).message.transactions
    assert (item.reversal, item.return_reason.code) == (False, "C01")


def test_a_reversal_is_told_by_its_description():
    """Whoever takes a file back writes REVERSAL as description; the codes are those of first entries."""
    (item,) = one(profiles()["nacha"], nacha("22", description="REVERSAL")).message.transactions
    assert item.reversal


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        ("OUT-INTERNATIONAL", "OUTGOING"),
        ("Outgoing", "OUTGOING"),
        ("CALL-IN", "INCOMING"),
        ("SMS-MT", "INCOMING"),
        ("SMSIN", "INCOMING"),
        ("SMO", "OUTGOING"),
        ("Call Forward", "FORWARDED"),
    ],
)
def test_a_call_type_is_read_word_for_word(kind, direction):
    """A word that holds in or out as letters says nothing of the direction; the words themselves do."""
    head = "CdrNo,B Party,Date,Time,Duration,Call Type\n"
    message = one(
        profiles()["india-police-cdr-csv"], f"{head}9876543210,9812345678,01/05/2026,10:00:00,61,{kind}\n"
    ).message
    (call,) = message.calls
    assert call.direction == telecom_pb2.CallDirection.Value(f"CALL_DIRECTION_{direction}")
    assert call.HasField("calling") == (direction == "INCOMING")


def test_a_call_whose_type_says_nothing_is_held_back():
    """Who called whom is not guessed."""
    head = "CdrNo,B Party,Date,Time,Duration,Call Type\n"
    row = f"{head}9876543210,9812345678,01/05/2026,10:00:00,61,INTERNET\n"
    assert held(profiles()["india-police-cdr-csv"], row).code == "LF-ROW-CASE"


CISCO = (
    "cdrRecordType,globalCallID_callId,dateTimeOrigination,callingPartyNumber,originalCalledPartyNumber,"
    "finalCalledPartyNumber,dateTimeConnect,dateTimeDisconnect,duration\n"
    "INTEGER,INTEGER,INTEGER,VARCHAR(50),VARCHAR(50),VARCHAR(50),INTEGER,INTEGER,INTEGER\n"
)


@pytest.mark.parametrize(
    ("final", "called", "diverted"), [("", "+12125550002", ""), ("2125550003", "+12125550003", "+12125550002")]
)
def test_a_call_that_was_given_up_was_not_diverted(final, called, diverted):
    """Without a final number, the number that was dialled is the one that was called."""
    row = f"1,7,1777000000,2125550001,2125550002,{final},0,1777000005,0\n"
    (call,) = one(profiles()["cisco-cucm-cdr-csv"], CISCO + row).message.calls
    assert (call.called.e164, call.diverted_from.e164) == (called, diverted)


def bundle(*objects):
    """Return a bundle."""
    return json.dumps({"type": "bundle", "id": "bundle--11111111-1111-4111-8111-111111111114", "objects": objects})


def seen(marking, **more):
    """Return an observation of one address, which is marked."""
    times = dict.fromkeys(("created", "modified", "first_observed", "last_observed"), "2026-01-01T00:00:00Z")
    own = {"type": "observed-data", "id": "observed-data--11111111-1111-4111-8111-111111111112", "number_observed": 1}
    address = {"type": "ipv4-addr", "id": "ipv4-addr--11111111-1111-4111-8111-111111111113", "value": "192.0.2.7"}
    return {**own, **times, "object_refs": [address["id"]], "object_marking_refs": [GREEN], **more}, {
        **address,
        "object_marking_refs": [marking],
    }


@pytest.mark.parametrize(("marking", "label"), [(RED, "RED"), (GREEN, "GREEN")])
def test_what_an_observation_shows_is_handled_as_it_is_marked(marking, label):
    """An observation carries its observables, so the strictest of their labels is that of the message."""
    outcomes = read(profiles()["stix-bundle"], bundle(*seen(marking)))
    assert [one.message.case_context.tlp for one in outcomes if isinstance(one, Converted)] == [label]


def test_a_part_that_is_marked_more_strictly_makes_the_whole_so():
    """A granular marking is of a part of the object, and the message carries that part."""
    part = [{"marking_ref": RED, "selectors": ["first_observed"]}]
    outcomes = read(profiles()["stix-bundle"], bundle(*seen(GREEN, granular_markings=part)))
    assert [one.message.case_context.tlp for one in outcomes if isinstance(one, Converted)] == ["RED"]


def side(mark, number, *, client):
    """Return one side of a goAML transaction."""
    tag = f"t_{mark}_my_client" if client else f"t_{mark}"
    inner = f"<{mark}_funds_code>K</{mark}_funds_code><{mark}_account><account>{number}</account></{mark}_account>"
    return f"<{tag}>{inner}<{mark}_country>AE</{mark}_country></{tag}>"


@pytest.mark.parametrize("receives", [False, True])
def test_a_reported_transaction_goes_out_of_the_senders_account(receives):
    """The account is the sender's and the money left it, whichever side is the client of who reports."""
    data = (
        "<report><rentity_id>1</rentity_id><report_code>STR</report_code><entity_reference>R1</entity_reference>"
        "<currency_code_local>AED</currency_code_local><transaction><transactionnumber>T</transactionnumber>"
        "<date_transaction>2026-05-01T00:00:00</date_transaction><amount_local>10.5</amount_local>"
        f"{side('from', '111', client=not receives)}{side('to', '222', client=receives)}</transaction></report>"
    )
    message = one(profiles()["goaml-report"], data).message
    (item,) = message.transactions
    assert (item.account.number, item.counterparty.number) == ("111", "222")
    assert item.direction == notice_pb2.TRANSACTION_DIRECTION_OUT
    clients = [account.account.number for account in message.accounts if account.role.code == "client"]
    assert clients == ["222" if receives else "111"]


def test_amounts_in_a_sheet_that_needs_them_not_are_carried_all_the_same():
    """A sheet of held money may name what was moved, and one of movements what was held: neither is dropped."""
    book = openpyxl.Workbook()
    held_back, moved = book.active, book.create_sheet("Money Transfer to")
    held_back.title = "Transaction put on hold"
    account = "Account No./ (Wallet /PG/PA) Id"
    held_back.append(["Acknowledgement No", account, "Transaction Amount", "Put on hold Amount"])
    held_back.append(["123", "55501234", "900", "100.50"])
    moved.append(["Acknowledgement No", account, "Account No", "Transaction Amount", "Put on hold Amount"])
    moved.append(["123", "55501234", "66601234", "900.10", "5"])
    data = io.BytesIO()
    book.save(data)
    items = one(profiles()["ncrp-bank-action"], data.getvalue()).message.transactions
    assert [(item.amount.minor_units, item.disposed_amount.minor_units) for item in items] == [
        (90000, 10050),
        (90010, 500),
    ]


def test_the_address_of_a_cyber_event_is_of_the_class_of_addresses():
    """What was seen may be an address or a device, and is not told as what kind of event it was."""
    folder = resources.files("adapters") / "profiles" / "fincen-sar.golden"
    event = (
        '<fc2:CyberEventIndicators SeqNum="99"><fc2:CyberEventIndicatorsTypeCode>1</fc2:CyberEventIndicatorsTypeCode>'
        "<fc2:EventValueText>192.0.2.99</fc2:EventValueText></fc2:CyberEventIndicators>"
    )
    mark = "</fc2:ActivityIPAddress>"
    data = (folder / "sar.xml").read_text("utf-8").replace(mark, mark + event)
    message = one(profiles()["fincen-sar"], data).message
    assert message.device_addresses == ["192.0.2.1", "192.0.2.99"]
    assert [(code.code, code.raw) for code in message.events] == [("1", "")]


@pytest.mark.parametrize(("tag", "codes"), [(0x97, []), (0x98, ["LF-ROW-MISSING"])])
def test_the_end_of_a_call_is_not_its_start(tag, codes):
    """A record that says only when the call was released does not say when it began."""
    stamp = bytes.fromhex("261120101500") + b"+" + bytes.fromhex("0800")
    call = tlv(0xA0, tlv(0x80, b"\x00") + tlv(0x83, NUMBER) + tlv(tag, stamp) + tlv(0x99, b"\x23"))
    outcomes = read(profiles()["threegpp-cdr-ber"], call)
    assert [one.code for one in outcomes if not isinstance(one, Converted)] == codes


@pytest.mark.parametrize(
    ("phone", "e164"),
    [
        ("<tph_country_prefix>971</tph_country_prefix><tph_number>501234567</tph_number>", "+971501234567"),
        ("<tph_country_prefix>+971</tph_country_prefix><tph_number>501234567</tph_number>", "+971501234567"),
        ("<tph_number>2125550001</tph_number>", ""),
    ],
)
def test_a_country_prefix_makes_a_number_international(phone, e164):
    """A prefix of digits is a country's; a number without one is no country's, whatever its digits look like."""
    data = (
        "<report><rentity_id>1</rentity_id><report_code>STR</report_code><entity_reference>R1</entity_reference>"
        "<reporting_person><first_name>A</first_name><last_name>B</last_name>"
        f"<phones><phone>{phone}</phone></phones></reporting_person></report>"
    )
    assert [one.e164 for one in one(profiles()["goaml-report"], data).message.reporter.phones] == [e164]


@pytest.mark.parametrize(("mark", "label"), [("tlp:red", "RED"), ("tlp:clear", "GREEN")])
def test_an_object_is_handled_as_its_strictest_attribute(mark, label):
    """An object carries its attributes, so a label of one of them that is stricter than its own counts."""
    attribute = {"uuid": "11111111-1111-4111-8111-111111111111", "type": "ip-dst", "category": "Network activity"}
    attribute |= {"object_relation": "ip", "value": "192.0.2.7", "timestamp": "1777000000", "Tag": [{"name": mark}]}
    thing = {"uuid": "11111111-1111-4111-8111-111111111112", "name": "ip-port", "timestamp": "1777000000"}
    event = {
        "uuid": "11111111-1111-4111-8111-111111111113",
        "info": "x",
        "date": "2026-05-01",
        "Tag": [{"name": "tlp:green"}],
    }
    data = json.dumps({"Event": {**event, "Object": [{**thing, "Attribute": [attribute]}]}})
    assert one(profiles()["misp-event"], data).message.case_context.tlp == label
