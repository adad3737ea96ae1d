"""Files as a whole: encodings, headers, damage, and what hostile ones try."""

import codecs

import pytest

import adapters
from adapters import read_xml
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from tests.adapters.files import ACCOUNT, NOTICE_HEADER, NOTICE_ROW, ORDERS, SAMPLES, notice, one, profile, read, record

HEADER, ROW = ",".join(NOTICE_HEADER), ",".join(NOTICE_ROW)


def refused(data: bytes, name: str = "bank-notice-csv") -> FileRefused:
    """Return why a file is refused as a whole; it must be said before the first record."""
    with pytest.raises(FileRefused) as error:
        convert(profile(name), data)
    assert error.value.cure
    return error.value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_of_the_trade_gives_the_same_message(encoding, end):
    """UTF-8 with or without a mark, GB18030 and GBK, with either line end, give one and the same message."""
    text = notice().decode().replace("\n", end)
    found = one(text.encode(encoding)).message
    found.ClearField("provenance")
    wanted = one(notice()).message
    wanted.ClearField("provenance")
    assert found == wanted


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "LF-FILE-EMPTY"),
        (b" \r\n\t", "LF-FILE-EMPTY"),
        (notice().decode().encode("utf-16"), "LF-FILE-ENCODING"),
        (notice() + b"\xff\xff", "LF-FILE-ENCODING"),
        (notice().decode().encode("big5", errors="ignore") + b"\xff", "LF-FILE-ENCODING"),
        (b"a,b\n1,2\n", "LF-FILE-NO-HEADER"),
        (f"{HEADER},账号\n{ROW},1\n".encode(), "LF-FILE-AMBIGUOUS-HEADER"),
        (f"{HEADER}{',x' * 300}\n".encode(), "LF-FILE-COLUMNS"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_whole(data, code):
    """Nothing of such a file becomes a message, and one clear reason is given."""
    assert refused(data).code == code


def test_the_place_of_the_wrong_byte_is_told():
    """A file in no known encoding is refused with the offset at which each reading failed, also far into the file."""
    whole = notice(*[ROW] * 20_000).decode()
    for encoding, name in (("utf-8", "utf-8-sig"), ("gb18030", "gb18030")):
        data = whole.encode(encoding)
        assert f"{name} fails at byte {len(data)}" in refused(data + b"\xff\xff\n").cause


def test_a_half_character_at_the_end_is_seen():
    """A file cut in the middle of a character is refused, not shortened."""
    data = notice()[: -len(NOTICE_ROW[-1]) - 1] + "户".encode()[:2]
    assert refused(data).code == "LF-FILE-ENCODING"


def test_missing_columns_are_named():
    """A table without a needed column is refused, and the column is named in the words of the file's readers."""
    assert "可疑特征" in refused(notice().replace("可疑特征".encode(), "特征".encode())).cause


def test_preamble_padding_and_sums_are_no_records():
    """Lines before the header, blank lines and sums are passed over; a record after a sum is still read."""
    lines = [
        "导出清单",
        '说明："旧',
        "",
        HEADER.replace(",", " ,\t"),
        ROW,
        "",
        "," * ROW.count(","),
        "合计,1 户",
        ROW,
        "制表：某",
    ]
    found = read("\n".join(lines).encode())
    assert [(outcome.record, outcome.line) for outcome in found] == [(1, 5), (2, 9)]
    assert all(isinstance(outcome, Converted) for outcome in found)


def test_a_sum_in_a_full_row_is_told_from_a_record():
    """A row that begins with a word for a sum is a record when it has what a record must have."""
    header = "户名,账号,可疑特征"
    data = f"{header}\n合计贸易公司,{ACCOUNT},3006\n合计,,\n".encode()
    (outcome,) = read(data)
    assert isinstance(outcome, Converted)
    assert outcome.message.holder.name == "合计贸易公司"


def test_an_open_quote_costs_one_row():
    """A quotation mark that nobody closes holds back its row; the rows around it become messages."""
    rows = [ROW, ROW.replace("演示户", '"演示户'), *[ROW] * 40]
    found = read(notice(*rows))
    assert [(type(outcome), outcome.line) for outcome in found[:3]] == [(Converted, 2), (HeldBack, 3), (Converted, 4)]
    assert found[1].code == "LF-ROW-QUOTE"
    assert found[1].raw == (rows[1] + "\n").encode()
    assert len(found) == len(rows)
    assert sum(isinstance(outcome, Converted) for outcome in found) == len(rows) - 1


def test_an_open_quote_in_the_last_row_is_seen():
    """The end of the file does not close a quotation mark."""
    found = read(notice(ROW, ROW.replace("演示户", '"演示户')))
    assert [getattr(outcome, "code", "") for outcome in found] == ["", "LF-ROW-QUOTE"]


def test_a_cell_may_hold_line_breaks():
    """A quoted cell of several lines is one record with all its bytes, and the next record knows its line."""
    header, note = f"{HEADER},备注", '"甲\n乙\n丙"'
    data = f"{header}\n{ROW},{note}\n{ROW},x\n".encode()
    first, second = read(data)
    assert isinstance(first, Converted)
    assert first.message.narrative == "甲\n乙\n丙"
    assert first.raw == f"{ROW},{note}\n".encode()
    assert (first.line, second.line) == (2, 5)


@pytest.mark.parametrize(
    ("row", "code"),
    [(f"{ROW},x", "LF-ROW-WIDTH"), (ROW.rsplit(",", 3)[0], "LF-ROW-WIDTH"), (f'{ROW}"{"x" * 40_000}', "LF-ROW-QUOTE")],
)
def test_a_row_of_another_shape_is_held_back(row, code):
    """A row with a cell too many or too few, or a cell beyond all measure, is held back; its neighbours are not."""
    found = read(notice(ROW, row, ROW))
    assert [getattr(outcome, "code", "") for outcome in found] == ["", code, ""]


def test_a_comma_at_the_end_is_no_cell():
    """Blank cells beyond the header say nothing."""
    assert one(notice(f"{ROW},, ")).message.account.number == ACCOUNT


def test_a_row_beyond_all_measure_is_held_back():
    """A row of more bytes than any record has is held back."""
    header = f"{HEADER},{','.join(f'x{number}' for number in range(20))}"
    data = f"{header}\n{ROW},{','.join(['y' * 20_000] * 20)}\n".encode()
    (outcome,) = read(data)
    assert isinstance(outcome, HeldBack)
    assert outcome.code == "LF-ROW-SIZE"


def test_an_unknown_column_is_named_and_a_known_one_that_says_nothing_is_not():
    """A column with no place in the message is a warning for each row that fills it."""
    data = f"序号,{HEADER},怪列\n1,{ROW},x\n2,{ROW},\n".encode()
    first, second = read(data)
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    assert [warning.cause for warning in first.warnings] == ["column 怪列 has no place in the message"]
    assert list(first.message.provenance.warnings) == ["column_not_carried"]
    assert second.warnings == ()


HOSTILE = [
    (b"<Request><Head><TxCode>200101</TxCode></Head><Body>", "LF-XML-SYNTAX"),
    (b"<Request><Head><TxCode>200101</TxCode></Head></Body></Request>", "LF-XML-SYNTAX"),
    (b"", "LF-XML-SYNTAX"),
    (b'<!DOCTYPE r [<!ENTITY a "aaaa">]><r>&a;</r>', "LF-XML-DTD"),
    (b'<!DOCTYPE r SYSTEM "http://127.0.0.1/x.dtd"><r/>', "LF-XML-DTD"),
    (b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]><r>&f;</r>', "LF-XML-DTD"),
    ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE r [<!ENTITY a "b">]><r/>'.encode("utf-16"), "LF-XML-DTD"),
    ('<?xml version="1.0" encoding="UTF-16"?><r/>'.encode("utf-16"), "LF-XML-ENCODING"),
    (b'<?xml version="1.0" encoding="EBCDIC-CP-US"?><r/>', "LF-XML-SYNTAX"),
    (b"<r>&undefined;</r>", "LF-XML-SYNTAX"),
    (b"<r>\xff\xfe</r>", "LF-XML-SYNTAX"),
    (b"<r>" + b"<a>" * 40 + b"</a>" * 40 + b"</r>", "LF-XML-DEPTH"),
    (b"<r>" + b"<a/>" * (2 * read_xml.ELEMENTS_MAX), "LF-XML-ELEMENTS"),
    (b"<r>" + b"x" * read_xml.XML_BYTES_MAX + b"</r>", "LF-XML-SIZE"),
    (b"<r><Body><A>1</A></Body></r>", "LF-XML-CODE"),
    (record("200999", {}), "LF-XML-CODE"),
]


@pytest.mark.parametrize(("data", "code"), HOSTILE, ids=[code for _, code in HOSTILE])
def test_hostile_xml_is_refused(data, code):
    """Entities, document types, depth, size, cut-off files and other encodings are refused before anything is read."""
    assert refused(data, "tfms-police").code == code


@pytest.mark.parametrize("beyond", [0, 1])
def test_depth_has_a_limit(beyond):
    """Elements nested as deep as allowed are read, one deeper is refused."""
    depth = read_xml.DEPTH_MAX + beyond
    data = b"<a>" * depth + b"</a>" * depth
    if beyond:
        with pytest.raises(FileRefused):
            list(read_xml.read(data, profile("tfms-police").file.source))
    else:
        assert list(read_xml.read(data, profile("tfms-police").file.source))


def test_namespaces_comments_and_gbk_mean_nothing():
    """A prefix, a default namespace, comments, instructions and CDATA do not change what a record says; nor does GBK."""
    plain = one(record("200103", ORDERS["00103"]), "tfms-police").message
    text = record("200103", ORDERS["00103"]).decode()
    text = text.replace("<Request>", '<Request xmlns="urn:x"><!-- c --><?p i?>').replace(
        "账户无关", "<![CDATA[账户无关]]>"
    )
    odd = one(text.replace("UTF-8", "GBK").encode("gbk"), "tfms-police").message
    for message in (plain, odd):
        message.ClearField("provenance")
    assert odd == plain


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_cut_record_is_refused(cut):
    """A record that was cut off anywhere is refused, whatever is left of it."""
    data = record("200101", ORDERS["00101"])
    assert refused(data[: -cut * 20 - 1], "tfms-police").code == "LF-XML-SYNTAX"


def test_content_says_what_a_file_is():
    """Each dialect is known by its content; a file of none is refused with what to do."""
    assert adapters.detect(notice()) == "bank-notice-csv"
    assert adapters.detect(codecs.BOM_UTF8 + notice()) == "bank-notice-csv"
    assert adapters.detect(record("200101", ORDERS["00101"])) == "tfms-police"
    assert adapters.detect(record("100102", {})) == "tfms-bank"
    for data, code in ((b"hello", "LF-FILE-UNKNOWN"), (b"", "LF-FILE-EMPTY"), (b"\xff\xff", "LF-FILE-ENCODING")):
        with pytest.raises(FileRefused) as error:
            adapters.detect(data)
        assert error.value.code == code


def test_real_bank_exports_are_refused_and_never_misread():
    """A bank's own statement is no notice: every sample is refused for want of a header, none ends in another error."""
    samples = sorted((SAMPLES / "cn-bank-statements").glob("*"))
    if not samples:
        pytest.skip("the samples are not on this machine")
    for path in samples:
        assert refused(path.read_bytes()).code in (
            "LF-FILE-NO-HEADER",
            "LF-FILE-ENCODING",
            "LF-FILE-AMBIGUOUS-HEADER",
            "LF-FILE-WORKBOOK",
        )
