"""Which dialect a file is in, how sure that is, and why."""

from importlib import resources

import pytest

import adapters
from adapters.convert import convert
from adapters.detect import detect, identify
from adapters.errors import FileRefused
from adapters.golden import cases_in
from tests.adapters.files import DEMO, NOTICE_HEADER, ORDERS, RESULTS, notice, record


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (notice(), "bank-notice-csv"),
        ((DEMO / "telecom-c-calls.csv").read_bytes(), "telecom-cdr-csv"),
        ((DEMO / "telecom-c-passport.txt").read_bytes(), "shaken-passport"),
        (record("200101", ORDERS["00101"]), "tfms-police"),
        (record("100102", RESULTS["00102"]), "tfms-bank"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_is_known_by_its_content(data, name):
    """Each dialect's file is found, wholly sure, with a reason; `detect` says the same."""
    found = identify(data)
    assert found.chosen is not None
    assert (found.chosen.profile, found.chosen.sure, found.refused) == (name, 1.0, None)
    assert found.chosen.why
    assert detect(data) == name


def test_strange_columns_make_it_less_sure_and_are_named():
    """Two columns that nobody knows beside eleven known ones: sure to 85 %, and both are named; their cells are not."""
    lines = notice().decode().splitlines()
    data = f"{lines[0]},颜色,Shoe Size\n{lines[1]},rot,43\n".encode()
    chosen = identify(data).chosen
    assert chosen is not None
    assert chosen.sure == round(len(NOTICE_HEADER) / (len(NOTICE_HEADER) + 2), 2)
    assert "the dialect does not know 颜色, Shoe Size" in chosen.why
    assert not any("rot" in reason for reason in chosen.why)


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"a,b\n1,2\n", "LF-FILE-UNKNOWN", "no dialect"),
        (b"%PDF-1.4\n1,2\n", "LF-FILE-UNKNOWN", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "LF-FILE-UNKNOWN", "image/png"),
        (b"", "LF-FILE-EMPTY", "empty"),
        (b"\xff\xff\xff", "LF-FILE-ENCODING", "encodings"),
        (b"<a><TxCode>", "LF-XML-SYNTAX", "well-formed"),
    ],
)
def test_what_is_none_of_ours_is_said_with_its_reason(data, code, said):
    """None fits: the reason names what the file seems to be, and `detect` refuses with the same."""
    found = identify(data)
    assert found.chosen is None
    assert found.refused is not None
    assert found.refused.code == code
    assert said in found.refused.cause
    with pytest.raises(FileRefused) as refused:
        detect(data)
    assert refused.value.code == code


def test_two_dialects_that_fit_equally_are_both_named():
    """A header that has what the bank's and the telecom's dialect require is in neither until somebody says which."""
    found = identify("账号,可疑特征,本机号码,起始时间\n1,2,3,4\n".encode())
    assert [fit.profile for fit in found.fits] == ["bank-notice-csv", "telecom-cdr-csv"]
    assert found.refused is not None
    assert found.refused.code == "LF-FILE-AMBIGUOUS"


@pytest.mark.parametrize("name", sorted(adapters.profiles()))
def test_every_golden_file_is_known_as_its_own(name):
    """No two dialects claim one file: what is beside a profile is identified as its own, and no other's."""
    folder = resources.files("adapters") / "profiles" / f"{name}.golden"
    found = {case.name: identify(case.data).chosen for case in cases_in(folder)}
    assert {case: fit and fit.profile for case, fit in found.items()} == dict.fromkeys(found, name)


def test_what_lacks_nearly_everything_fits_no_dialect():
    """A JSON object that has a word in common with a dialect, and nothing that its record must have, is none of it."""
    found = identify(b'{"name": "x", "description": "y", "version": 1, "uuid": "z", "attributes": {"a": {"b": "c"}}}')
    assert found.fits == ()
    assert found.refused is not None
    assert found.refused.code == "LF-FILE-UNKNOWN"


@pytest.mark.parametrize(
    ("begins", "what"), [("swift-mt940", "fin"), ("iso20022-statement", "xml"), ("nacha", "nacha")]
)
def test_two_formats_in_one_file_are_not_taken_for_the_second(begins: str, what: str) -> None:
    """What stands above a table's header is no preamble when it begins as another format does; by name it is read."""
    folder = resources.files("adapters") / "profiles"
    first = cases_in(folder / f"{begins}.golden")[0].data
    second = next(case.data for case in cases_in(folder / "bank-notice-csv.golden") if case.name == "english-headers")
    table = b"\n".join([first.splitlines()[0], second])
    assert identify(second).chosen is not None
    refused = identify(table).refused
    assert refused is not None
    assert refused.code == "LF-FILE-TWO"
    assert f"begins as {what}" in refused.cause
    assert len(list(convert(adapters.profiles()["bank-notice-csv"], table))) == len(
        list(convert(adapters.profiles()["bank-notice-csv"], second))
    )
