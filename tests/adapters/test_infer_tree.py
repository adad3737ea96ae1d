"""A first profile for XML and JSON that nobody knows: records, lists and fields by their names and values, guesses commented out."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adapters
from adapters.back import leaves
from adapters.catalogue import load, profiles
from adapters.convert import convert
from adapters.errors import FileRefused, ProfileRefused
from adapters.guesses import Stated
from adapters.infer import infer
from adapters.model import Converted, HeldBack
from tests.adapters.files import ACCOUNT, IDENTITY, NEXT
from tests.adapters.test_properties import QUICK

CHINA = Stated("Asia/Shanghai", "", "CN")
GOLDEN = Path(adapters.__file__).parent / "profiles"
IBAN, OTHER = "DE89370400440532013000", "NL91ABNA0417164300"
SPACE = "urn:example:account-report:1"


def statement(entries, space=SPACE, wrap="{}"):
    """Return an invented statement with the element names of camt.053."""
    stmt = (
        f"<Stmt><Id>S-1</Id><Acct><Id><IBAN>{IBAN}</IBAN></Id><Ownr><Nm>Sample Trading Ltd</Nm></Ownr></Acct>"
        f"{''.join(entries)}</Stmt>"
    )
    head = "<GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-03-02T08:00:00Z</CreDtTm></GrpHdr>"
    return wrap.format(f'<Document xmlns="{space}"><BkStmt>{head}{stmt}</BkStmt></Document>').encode()


def entry(amount, mark, day, name="Demo Payer"):
    """Return one movement."""
    return (
        f'<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{mark}</CdtDbtInd><BookgDt><Dt>{day}</Dt></BookgDt>'
        f"<CounterpartyName>{name}</CounterpartyName><Wthr>{day[-2:]} mild</Wthr></Ntry>"
    )


ENTRIES = [entry("12.50", "CRDT", "2026-03-01"), entry("1200.00", "DBIT", "2026-03-02", "Demo Shop")]


def proposed(data, message, stated=CHINA):
    """Return the proposal, its lines by path, and the file's outcomes through it; the profile must load."""
    proposal = infer(data, message, "mine", stated)
    outcomes = list(convert(load(proposal.toml), data))
    lines: dict[str, list[dict]] = {}
    for item in proposal.as_json()["columns"]:
        lines.setdefault(item["column"], []).append(item)
    return proposal, lines, outcomes


def fields(lines, *, written=True):
    """Return path and field of what is written, or is not."""
    return {(path, one["field"]) for path, found in lines.items() for one in found if one["written"] == written}


def test_a_statement_becomes_a_record_with_its_movements_as_a_list():
    """The statement is the record although it stands alone, the movements its list; account, amount, direction and dates are right."""
    proposal, lines, outcomes = proposed(statement(ENTRIES), "TransactionTrace")
    assert (proposal.form, proposal.at) == ("xml", "BkStmt/Stmt")
    assert fields(lines) >= {
        ("Acct/Id/IBAN", "account"),
        ("../GrpHdr/MsgId", "source_message_id"),
        ("../GrpHdr/CreDtTm", "created_at"),
        ("Ntry/Amt", "transactions[].amount"),
        ("Ntry/CdtDbtInd", "transactions[].direction"),
        ("Ntry/BookgDt/Dt", "transactions[].booked_at"),
        ("Ntry/CounterpartyName", "transactions[].counterparty_name"),
    }
    assert ("Acct/Ownr/Nm", "holder.name") in fields(lines, written=False), "a person or a firm: no element says which"
    (row,) = outcomes
    assert isinstance(row, Converted)
    assert row.message.account.number == IBAN
    assert [(one.amount.minor_units, one.amount.currency, one.direction, one.counterparty_name, one.booked_at.raw) for one in row.message.transactions] == [
        (1250, "EUR", 1, "Demo Payer", "2026-03-01"),
        (120_000, "EUR", 2, "Demo Shop", "2026-03-02"),
    ]  # fmt: skip


def test_the_records_namespace_stands_in_the_profile():
    """A file of another namespace is not read by it; a file without one needs none."""
    proposal, _, _ = proposed(
        statement(ENTRIES, wrap='<Envelope xmlns="urn:example:wrap">{}</Envelope>'), "TransactionTrace"
    )
    assert f'namespace = ["{SPACE}"]' in proposal.toml
    assert proposal.at == "Document/BkStmt/Stmt"
    other = statement(ENTRIES, space="urn:example:other", wrap='<Envelope xmlns="urn:example:wrap">{}</Envelope>')
    with pytest.raises(FileRefused) as refused:
        list(convert(load(proposal.toml), other))
    assert refused.value.code == "LF-FILE-NO-RECORD"
    bare, _, _ = proposed(statement(ENTRIES).replace(f' xmlns="{SPACE}"'.encode(), b""), "TransactionTrace")
    assert "namespace" not in bare.toml


def test_an_amount_with_a_mark_of_debit_that_nothing_reads_is_not_sure():
    """A balance of 5.00 in debit is not 5.00: the amount waits for a person, and the reason names the path of the mark."""
    balance = (
        '<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>DBIT</CdtDbtInd></Bal>'
    )
    _, lines, (row,) = proposed(statement([balance, balance.replace("OPBD", "CLBD"), *ENTRIES]), "TransactionTrace")
    (amount,) = lines["Bal/Amt"]
    assert (amount["field"], amount["written"]) == ("balances[].amount", False)
    assert "CdtDbtInd may be its sign" in amount["why"]
    assert [one.HasField("amount") for one in row.message.balances] == [False, False]


def test_the_golden_cases_become_victim_reports_like_those_of_their_own_profile():
    """Name, identity, telephone, accounts, amounts and times of each loss are those that the hand-written profile reads."""
    data = (GOLDEN / "case-json.golden" / "two-cases.json").read_bytes()
    proposal, lines, outcomes = proposed(data, "VictimCaseReport", Stated("Asia/Shanghai", "CNY", "CN"))
    assert (proposal.form, proposal.at) == ("json", "cases")
    assert fields(lines) >= {
        ("case_number", "report_id"),
        ("victim/name", "victim.person.name"),
        ("victim/id_number", "victim.person"),
        ("victim/phone", "victim_phone"),
        ("total_loss/amount", "total_loss"),
        ("losses/at", "losses[].at"),
        ("losses/from_account", "losses[].account"),
        ("losses/to_account", "losses[].counterparty"),
        ("suspects/name", "suspects[].person.name"),
        ("accounts/number", "suspect_accounts[]"),
    }
    assert ("losses/amount", "losses[].amount") in fields(lines, written=False), "one of the golden amounts is ruined"
    assert "% of 3 values" in lines["losses/amount"][0]["why"]
    (known,) = [one for one in convert(profiles()["case-json"], data) if isinstance(one, Converted)]
    first = outcomes[0]
    assert isinstance(first, Converted)
    for name in ("report_id", "victim", "victim_phone", "total_loss", "suspect_accounts", "fraud_types", "narrative"):
        assert getattr(first.message, name) == getattr(known.message, name)
    assert [one.counterparty for one in first.message.losses] == [one.counterparty for one in known.message.losses]


def texts(outcomes):
    """Return every value of the messages with its path, without numbers of items; what says where a message is from is left out."""
    found = [leaves(one.message) for one in outcomes if isinstance(one, Converted)]
    flat = {(re.sub(r"\[[0-9]+\]", "[]", path), value) for one in found for path, value in one.items()}
    return {(path, value) for path, value in flat if not path.startswith("provenance")}


@pytest.mark.parametrize(
    ("profile", "file", "message", "least"),
    [
        ("tfms-police", "200101.xml", "StopPaymentOrder", 50),
        ("tfms-bank", "100310.xml", "AccountAnswer", 50),
        ("iso20022-camt-056", "first-version.xml", "PaymentRecall", 20),
        ("iso20022-return", "pacs004.xml", "FundsReturn", 30),
        ("goaml-report", "str.xml", "SuspiciousActivityReport", 45),
        ("fincen-sar", "sar.xml", "SuspiciousActivityReport", 20),
        ("camara-kyc-match", "request.json", "NumberStatusQuery", 5),
    ],
)
def test_what_is_written_as_sure_reads_as_the_profile_of_the_dialect_reads_it(profile, file, message, least):
    """For golden files of dialects that are known: not one value in the messages is another than the hand-written profile's."""
    data = (GOLDEN / f"{profile}.golden" / file).read_bytes()
    known = profiles()[profile]
    source = known.file.source
    _, _, outcomes = proposed(data, message, Stated(source.zone, source.currency, source.region))
    ours, theirs = texts(outcomes), texts(convert(known, data))
    assert not ours - theirs
    assert len(ours) >= least


RECORDS = [
    {"accountNumber": ACCOUNT, "交易金额": "12.50", "币种": "CNY", "txnTime": "2026-03-01 10:00:00", "shoe_size": 43},
    {"accountNumber": NEXT, "交易金额": "7.00", "币种": "CNY", "txnTime": "2026-03-01 11:00:00", "shoe_size": 44},
]


@pytest.mark.parametrize(
    ("data", "at", "says"),
    [
        (json.dumps({"rows": RECORDS, "page": 1}), "rows", "format"),
        (json.dumps({"meta": {"made": "x"}, "rows": RECORDS[:1]}), "rows", "format"),
        (json.dumps(RECORDS), "item", "format"),
        (json.dumps(RECORDS[:1]), "item", "format"),
        ("\n".join(map(json.dumps, RECORDS)), "", "lines = true"),
    ],
)
def test_one_document_an_array_and_json_lines_are_read(data, at, says):
    """The same records, however they are wrapped, become the same messages."""
    proposal, lines, outcomes = proposed(data.encode(), "SuspiciousAccountNotice")
    assert proposal.at == at
    assert says in proposal.toml
    assert ("accountNumber", "account") in fields(lines)
    assert ("交易金额", "transactions[0].amount") in fields(lines)
    assert [one.message.transactions[0].amount.minor_units for one in outcomes] == [1250, 700][: len(outcomes)]
    assert [one.message.account.number for one in outcomes if isinstance(one, Converted)] == [ACCOUNT, NEXT][
        : len(outcomes)
    ]
    assert outcomes
    assert "shoe_size" in proposal.toml, "what nobody knows is listed"
    assert ("shoe_size", None) in fields(lines, written=False)


def test_chinese_element_names_are_known():
    """Headers of tables are names of elements too."""
    rows = "".join(
        f"<记录><账号>{one}</账号><户名>甲某</户名><证件号码>{IDENTITY}</证件号码></记录>" for one in (ACCOUNT, NEXT)
    )
    proposal, lines, outcomes = proposed(f"<数据>{rows}</数据>".encode(), "SuspiciousAccountNotice")
    assert proposal.at == "记录"
    assert ("账号", "account") in fields(lines)
    assert ("证件号码", "holder") in fields(lines)
    assert [one.message.holder.id_number for one in outcomes if isinstance(one, Converted)] == [IDENTITY, IDENTITY]


@pytest.mark.parametrize(
    ("member", "field", "reason"),
    [
        ({"q7": IDENTITY}, "holder", "the path is not known; 100% of the values look like identity numbers"),
        ({"q7": OTHER}, "account", "look like account numbers (IBAN)"),
        ({"wrap": {"deep": {"phone": "19900000101"}}}, "holder_phone", "only the last word"),
        ({"balanceCents": "1250"}, None, "not known"),
        ({"余额": ["1.00", "2.00"], "currency": "CNY"}, "balance", "several times"),
        ({"余额": "1.00"}, "balance", "state the currency"),
        ({"余额": "1.00", "currency": "much"}, "balance", "does not say so for certain"),
        ({"开户日期": "03/04/2026"}, "opened_at", "either way about"),
        ({"户名": IDENTITY}, "holder.name", "look like identity numbers"),
    ],
)
def test_what_is_not_sure_is_a_comment_with_its_reason(member, field, reason):
    """Values alone, a last word alone, two texts for one place, an amount without its currency: none is written."""
    proposal, lines, _ = proposed(json.dumps([{"账号": ACCOUNT, **member}]).encode(), "SuspiciousAccountNotice")
    (path,) = [one for one in lines if one not in ("账号", "currency")]
    (line,) = lines[path]
    assert (line["field"], line["written"]) == (field, False)
    assert reason in line["why"]
    assert line["sure"] <= 0.5
    assert list(load(proposal.toml).file.record[0].field) == ["account"]


def test_an_amount_takes_the_currency_that_stands_beside_it():
    """A neighbour that names a currency in every record is used; where it is missing, the stated one is, and none else."""
    rows = [{"账号": ACCOUNT, "余额": "5.00", "币种": "USD"}, {"账号": NEXT, "余额": "6.00"}]
    _, lines, _ = proposed(json.dumps(rows).encode(), "SuspiciousAccountNotice")
    assert "does not stand beside every amount" in lines["余额"][0]["why"]
    _, lines, outcomes = proposed(json.dumps(rows).encode(), "SuspiciousAccountNotice", Stated(currency="CNY"))
    assert lines["余额"][0]["written"]
    assert [(one.message.balance.currency, one.message.balance.currency_assumed) for one in outcomes] == [
        ("USD", False),
        ("CNY", True),
    ]


def test_no_value_of_the_file_is_in_the_profile_or_the_report():
    """Neither texts nor keys that are numbers of somebody get into a profile; a namespace and element names do."""
    secret = {"6222020200112230019": {"note": "alpha-secret"}, "6222020200112230027": {"note": "beta-secret"}}
    data = json.dumps({"账号": ACCOUNT, "by_account": secret, "户名": "Gamma Secret"}).encode()
    proposal, lines, _ = proposed(data, "SuspiciousAccountNotice")
    said = proposal.toml + json.dumps(proposal.as_json(), ensure_ascii=False)
    assert not [one for one in (ACCOUNT, "62220202", "secret", "Secret") if one in said]
    assert "by_account/*/note" in lines


def test_keys_with_signs_of_paths_are_offered_as_paths_that_lead_to_them():
    """A key such as 户名/name is proposed as the path that says it, and what is written reads the file."""
    row = {"账号": ACCOUNT, "查/询": {"户名": "演示"}, "备[注]": "x"}
    proposal, lines, (found,) = proposed(json.dumps([row]).encode(), "SuspiciousAccountNotice")
    assert {"账号", "查%2F询/户名", "备%5B注%5D"} <= set(lines)
    assert 'from = "备%5B注%5D"' in proposal.toml
    assert found.message.narrative == "x"
    assert found.message.account.number == ACCOUNT


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<a><b>", "LF-XML-SYNTAX"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "LF-XML-DTD"),
        (b"<a/>", "LF-MAP-NOTHING-SURE"),
        (b'{"a": 1', "LF-JSON-SYNTAX"),
        (b'{"a": 1}', "LF-MAP-NOTHING-SURE"),
        (b"[]", "LF-MAP-NOTHING-SURE"),
        (b'["x", "y"]', "LF-MAP-NOTHING-SURE"),
    ],
)
def test_what_cannot_be_read_or_says_nothing_is_refused(data, code):
    """The reader's own refusal, or that nothing in it is sure."""
    with pytest.raises(FileRefused) as refused:
        infer(data, "SuspiciousAccountNotice", "mine", CHINA)
    assert refused.value.code == code


def test_an_unknown_message_is_refused():
    """A message that the shared language has not got is told."""
    with pytest.raises(ProfileRefused):
        infer(json.dumps(RECORDS).encode(), "NoSuch", "mine", CHINA)


NAMES = st.one_of(
    st.sampled_from(["account", "账号", "amount", "Amt", "currency", "holder", "transactions", "name", "at", "phone", "余额"]),
    st.text(max_size=8),
)  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from([ACCOUNT, NEXT, IDENTITY, "12.50", "USD", "2026-03-01", "DBIT", "", "-", "x" * 70]),
    st.text(max_size=12),
    st.integers(-5, 10**12),
    st.booleans(),
    st.none(),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=24
)


@QUICK
@given(
    st.dictionaries(NAMES, TREES, max_size=5),
    st.sampled_from(["SuspiciousAccountNotice", "TransactionTrace"]),
    st.booleans(),
)
def test_whatever_comes_in_a_proposal_loads_and_reads_its_file(tree, message, listed):
    """Any JSON beside an account: a profile that loads and finds its records, or a refusal with a code; nothing else is raised."""
    one = {"account": ACCOUNT, **tree}
    data = json.dumps([one, {"account": NEXT}] if listed else one).encode()
    try:
        proposal = infer(data, message, "mine", CHINA)
    except FileRefused as error:
        code, outcomes = error.code, []
    else:
        code, outcomes = "", list(convert(load(proposal.toml), data))
    assert bool(outcomes) != (code == "LF-MAP-NOTHING-SURE" or code.startswith("LF-JSON-"))
    assert all(isinstance(row, Converted | HeldBack) for row in outcomes)


@QUICK
@given(st.binary(max_size=12), st.integers(0, 600))
def test_a_damaged_file_is_proposed_for_or_refused(noise, place):
    """Any bytes put into the XML: a profile that loads and reads the file, or a refusal with a code."""
    whole = statement(ENTRIES)
    data = whole[:place] + noise + whole[place:]
    try:
        proposal = infer(data, "TransactionTrace", "mine", CHINA)
    except FileRefused as error:
        code, outcomes = error.code, []
    else:
        code, outcomes = "", list(convert(load(proposal.toml), data))
    assert bool(outcomes) != code.startswith("LF-")
