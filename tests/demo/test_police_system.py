"""The police's case system: what it asks is what the platform's lists demand, and it reads what comes back."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from deploy.demo.police_system import CaseSystem, Target, read_result

TARGET = Target("6217009182736455", "司马长风远", "9800.00", "310000000002", "演示银行B")
LISTS = Path(__file__).resolve().parents[3] / "shared" / "samples" / "cn-tfms" / "element-paths.tsv"


@pytest.fixture
def police(tmp_path: Path) -> CaseSystem:
    """A case system on the seventh of November, noon in Beijing."""
    return CaseSystem(tmp_path, "A1", datetime(2026, 11, 7, 4, 0, tzinfo=UTC))


def test_a_stop_lasts_48_hours_of_local_time(police: CaseSystem) -> None:
    """Times are 14 digits, local; a stop is asked for 48 hours."""
    root = etree.fromstring(police.stop("S1", TARGET, ()))
    assert root.findtext("Body/StartTime") == "20261107120000"
    assert root.findtext("Body/ExpireTime") == "20261109120000"
    assert root.findtext("Head/TxCode") == "200101"
    assert root.find("Body/Attachments") is None


def test_papers_travel_in_base64_under_their_names(police: CaseSystem, tmp_path: Path) -> None:
    """The first two characters of a paper's name say what it is."""
    paper = tmp_path / "01-id.jpg"
    paper.write_bytes(b"\xff\xd8\xff scan")
    root = etree.fromstring(police.freeze("F1", TARGET, (paper, paper)))
    assert [item.text for item in root.iterfind("Body/Attachments/Attachment/Filename")] == ["01-id.jpg"] * 2
    assert base64.b64decode(root.findtext("Body/Attachments/Attachment/Content") or "") == b"\xff\xd8\xff scan"


def test_a_release_names_its_freeze_and_its_reason(police: CaseSystem) -> None:
    """Without the earlier number and a reason there is nothing to release."""
    root = etree.fromstring(police.release("R1", "F1", TARGET, "与本案无关"))
    assert (root.findtext("Body/OriginalApplicationID"), root.findtext("Body/WithdrawalRemark")) == ("F1", "与本案无关")


def test_numbers_of_orders_differ(police: CaseSystem) -> None:
    """No two orders of one case system have the same number."""
    assert len({police.application_id() for _ in range(100)}) == 100


@pytest.mark.skipif(not LISTS.exists(), reason="the platform's lists are not here")
@pytest.mark.parametrize("code", ["200101", "200201", "200203"])
def test_every_element_is_the_platforms(police: CaseSystem, code: str) -> None:
    """An order has no element that the platform's list does not have, but for the papers as they are on the wire."""
    orders = {
        "200101": police.stop("S1", TARGET, ()),
        "200201": police.freeze("F1", TARGET, ()),
        "200203": police.release("R1", "F1", TARGET, "x"),
    }
    rows = [line.split("\t") for line in LISTS.read_text(encoding="utf-8").splitlines()]
    known = {row[2].removeprefix("/Body/") for row in rows if row[0] == f"1{code[1:]}" and row[2].startswith("/Body/")}
    body = etree.fromstring(orders[code]).find("Body")
    assert body is not None
    assert {element.tag for element in body} <= known


def test_an_answer_is_read_from_the_handover_folder(police: CaseSystem, tmp_path: Path) -> None:
    """Every answer that lies there is read, whatever order it belongs to."""
    (tmp_path / "out").mkdir()
    for number, result in (("S1", "0600"), ("S2", "1200")):
        text = f"<Response><Head><TxCode>200102</TxCode></Head><Body><ApplicationID>{number}</ApplicationID>"
        (tmp_path / "out" / f"{number}.xml").write_text(f"{text}<Result>{result}</Result></Body></Response>")
    assert [(item.tx_code, item.application_id, item.code) for item in police.results()] == [
        ("200102", "S1", "0600"),
        ("200102", "S2", "1200"),
    ]
    assert read_result(b"<Response/>").application_id == ""
