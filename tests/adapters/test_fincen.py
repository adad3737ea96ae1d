"""FinCEN's suspicious activity reports: read against the official schema; everything else of BSA e-filing is another dialect."""

from pathlib import Path

import pytest

from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused
from schemas import checks
from tests.adapters.files import SAMPLES, held, one, profile
from tests.adapters.trees import held as held_of
from tests.adapters.trees import made
from tests.adapters.trees import one as one_of

GOLDEN = Path(__file__).parents[2] / "adapters" / "profiles" / "fincen-sar.golden"
NAME = "fincen-sar"
SAR = (GOLDEN / "sar.xml").read_bytes()


def test_a_report_is_read_whole():
    """Who reports, of whom, what, how much and since when; amounts in cents of a dollar."""
    message = one(SAR, NAME).message
    checks.require_valid_record(message)
    assert (message.report_id, message.reporting_entity.name) == ("ICN-77", "Example Bank NA")
    assert (message.total_amount.minor_units, message.total_amount.currency) == (4_500_000, "USD")
    assert [code.code for code in message.activity_types] == ["312", "824"]
    subject = next(party for party in message.parties if party.role.code == "33")
    assert (subject.person.name, subject.accounts[0].number) == ("Sam Sample", "000123456789")
    assert message.accounts[0].account.number == "000123456789"
    assert message.device_addresses == ["192.0.2.1"]


def test_a_report_without_namespace_is_told_so():
    """A file whose elements are in no namespace is known for what it is, and refused with the reason and the cure."""
    data = (GOLDEN / "without-namespace.xml").read_bytes()
    found = identify(data)
    assert found.chosen is not None
    assert found.chosen.profile == NAME
    with pytest.raises(
        FileRefused, match=r"namespace of the schema EFL_SARXBatchSchema\.xsd, www\.fincen\.gov/base"
    ) as refused:
        list(convert(profile(NAME), data))
    assert refused.value.code == "LF-XML-SCHEMA"
    assert "namespace" in refused.value.cure


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        (b"20260201", b"20261301", "SuspiciousActivityFromDateText: its text has not the form"),
        (b">312<", b">31<", "SuspiciousActivitySubtypeID: its text is none of the words"),
        (b'SeqNum="29"', b'SeqNum="28"', "twice"),
        (b' TotalAmount="45000"', b"", "an attribute that it must have is missing"),
        (b"<fc2:FormTypeCode>SARX</fc2:FormTypeCode>", b"<fc2:FormTypeCode>SARX</fc2:FormTypeCode><fc2:Oops/>", "expects Activity"),
    ],
)  # fmt: skip
def test_a_report_that_breaks_the_schema_is_refused_with_the_rule(right, wrong, rule):
    """The element and the rule are named, in words."""
    assert SAR.count(right) == 1
    with pytest.raises(FileRefused) as refused:
        list(convert(profile(NAME), SAR.replace(right, wrong)))
    assert refused.value.code == "LF-XML-SCHEMA"
    assert rule in refused.value.cause


def test_another_form_is_not_this_dialect():
    """A currency transaction report in the same envelope is not taken for a SAR."""
    found = identify(SAR.replace(b">SARX<", b">CTRX<"))
    assert found.refused is not None
    assert found.refused.code == "LF-FILE-UNKNOWN"


@pytest.mark.parametrize(
    "path", sorted((SAMPLES / "fincen-bsa").glob("*.xml")) if SAMPLES.is_dir() else [], ids=lambda path: path.name
)
def test_other_forms_and_acknowledgements_are_in_no_dialect(path):
    """8300, DOEP, FBAR and acknowledgements are refused as unknown, never read as something else."""
    found = identify(path.read_bytes())
    assert found.refused is not None
    assert found.refused.code == "LF-FILE-UNKNOWN"


def narrative(*numbers: str) -> bytes:
    """Return the report with parts of its narrative of these numbers, each a letter."""
    first, rest = SAR.index(b"    <fc2:ActivityNarrativeInformation"), SAR.index(b"  </fc2:Activity>\n</fc2")
    parts = "".join(
        f'<fc2:ActivityNarrativeInformation SeqNum="{90 + place}"><fc2:ActivityNarrativeSequenceNumber>{number}'
        f"</fc2:ActivityNarrativeSequenceNumber><fc2:ActivityNarrativeText>{chr(97 + place)}</fc2:ActivityNarrativeText>"
        "</fc2:ActivityNarrativeInformation>"
        for place, number in enumerate(numbers)
    )
    return SAR[:first] + parts.encode() + SAR[rest:]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [("1", "a"), (("1", "2", "3"), "a\nb\nc"), (("2", "1"), "b\na"), (("3", "1", "2"), "b\nc\na")],
)
def test_the_parts_of_a_narrative_are_joined_by_their_numbers(numbers, text):
    """The number says where a part belongs, not where it stands in the file; lineage names part and number."""
    found = one(narrative(*numbers), NAME)
    assert found.message.narrative.startswith(text)
    verbs = [item.verb for item in found.lineage if item.field == "narrative"]
    assert verbs.count("order") == len(numbers)


@pytest.mark.parametrize(
    ("numbers", "why"),
    [(("1", "3"), "none of the number 2"), (("2", "3"), "none of the number 1"), (("2",), "none of the number 1")],
)
def test_a_narrative_that_lacks_a_part_is_held_back(numbers, why):
    """A part that is missing may hold what matters: the report is held back, and the number that is missing is told."""
    found = held(narrative(*numbers), NAME)
    assert found.code == "LF-ROW-PARTS"
    assert why in found.cause
    assert found.cure


def test_a_number_that_stands_twice_breaks_the_schema():
    """Two parts of one number: the official schema forbids it."""
    with pytest.raises(FileRefused) as refused:
        list(convert(profile(NAME), narrative("1", "1")))
    assert refused.value.code == "LF-XML-SCHEMA"


NUMBERED = """
[[record]]
message = "SuspiciousAccountNotice"
[record.field."account"]
from = "No"
parse = "account"
[record.field."narrative"]
from = "P/T"
join = "-"
numbered = "P/N"
"""


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((("1", "a"), ("1", "b")), "two of the number 1"),
        ((("1", "a"), ("", "b")), "not each has its number"),
        ((("1", "a"), ("x", "b")), "not each has its number"),
        ((("0", "a"), ("1", "b")), "none of the number 2"),
        (((str(10**30), "a"), ("1", "b")), "none of the number 2"),
    ],
)
def test_where_no_schema_watches_the_numbers_are_watched_all_the_same(parts, why):
    """Doubled, missing, no number, beyond the last: held back with the reason."""
    inside = "".join(f"<P><N>{number}</N><T>{text}</T></P>" for number, text in parts)
    found = held_of(made(NUMBERED), f"<r><No>123456</No>{inside}</r>")
    assert found.code == "LF-ROW-PARTS"
    assert why in found.cause


@pytest.mark.parametrize("inside", ["<P><T>a</T></P>", "<P><N>1</N><T>a</T></P>", "<P><N>01</N><T>a</T></P>"])
def test_a_text_of_one_part_needs_no_number(inside):
    """One part without a number, or with the number 1, is the whole text."""
    assert one_of(made(NUMBERED), f"<r><No>123456</No>{inside}</r>").message.narrative == "a"
