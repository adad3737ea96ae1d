"""`lianfang map`: what is said of a file before it is used."""

from tests.adapters.files import DEMO, ORDERS, PAPERS, notice, record
from tests.cli.conftest import lianfang


def test_identify_goes_by_content_alone(tmp_path):
    """A bank's CSV under the name of an XML file is known; a file that is none of ours ends with 5 and the reason."""
    file = tmp_path / "orders.xml"
    file.write_bytes(notice())
    typed = lianfang("map", "identify", file, "--json")
    assert (typed.code, typed.value["profile"], typed.value["sure"]) == (0, "bank-notice-csv", 1.0)
    assert typed.value["fits"][0]["profile"] == "bank-notice-csv"
    assert lianfang("map", "identify", file).out.startswith("bank-notice-csv, sure to 100%\n")
    file.write_bytes(b"%PDF-1.7")
    typed = lianfang("map", "identify", file, "--json")
    assert (typed.code, typed.value["profile"], typed.value["code"]) == (5, None, "LF-FILE-UNKNOWN")
    assert "application/pdf" in lianfang("map", "identify", file).out


def test_a_profile_may_be_given_as_a_path(tmp_path):
    """A TOML file of one's own does what a name does; a wrong key in it is told with the nearest known one."""
    source = DEMO.parents[2] / "adapters" / "profiles" / "bank-notice-csv.toml"
    mine = tmp_path / "mine.toml"
    mine.write_text(source.read_text("utf-8").replace('name = "bank-notice-csv"', 'name = "mine"'), "utf-8")
    typed = lianfang("map", "check", mine, DEMO / "bank-a-suspicious-accounts.csv", "--json")
    assert (typed.code, typed.value["profile"], typed.value["messages"]) == (3, "mine", 13)
    mine.write_text(mine.read_text("utf-8").replace("[target]", "[traget]"), "utf-8")
    typed = lianfang("map", "check", mine, DEMO / "bank-a-suspicious-accounts.csv", "--json")
    assert (typed.code, typed.value["code"]) == (2, "LF-MAP-PROFILE-KEY")
    assert "did you mean target?" in typed.value["cure"]


def test_a_profile_with_shared_records_may_be_given_as_a_path():
    """What the file includes is read from beside it."""
    profiles = DEMO.parents[2] / "adapters" / "profiles"
    typed = lianfang("map", "check", profiles / "tfms-bank.toml", DEMO / "README.md", "--json")
    assert (typed.code, typed.value["code"]) == (2, "LF-XML-SYNTAX")


def test_preview_shows_one_row_with_verbs_and_what_is_left(tmp_path):
    """Row 1: cells as they stand, field, verb, original text and result; a column without a place is named."""
    lines = notice().decode().splitlines()
    file = tmp_path / "x"
    file.write_text(f"{lines[0]},颜色,序号\n{lines[1]},rot,7\n", "utf-8")
    seen = lianfang("map", "preview", "auto", file, "--row", 1, "--json").value
    assert {"line": 2, "column": "颜色", "text": "rot"} in seen["cells"]
    fields = {item["field"]: item for item in seen["fields"]}
    start, end = fields["balance"].pop("start"), fields["balance"].pop("end")
    assert file.read_bytes()[start:end] == b"1234.56"
    assert fields["balance"] == {
        "field": "balance",
        "verb": "parse money",
        "line": 2,
        "column": "余额",
        "raw": "1234.56",
        "value": {"minor_units": "123456", "currency": "CNY", "currency_assumed": True},
    }
    assert fields["transactions[0].direction"]["value"] == "TRANSACTION_DIRECTION_OUT"
    assert {item["column"]: item["why"] for item in seen["not_carried"]} == {
        "颜色": "the message has no place for it",
        "序号": "the profile ignores it",
    }
    assert seen["refused"] is None
    typed = lianfang("map", "preview", "auto", file, "--row", 1)
    assert "not carried: column 颜色, line 2: the message has no place for it" in typed.out
    assert f"bytes {start} to {end}" in typed.out
    assert lianfang("map", "preview", "auto", file, "--row", 2, "--json").value["code"] == "LF-MAP-NO-ROW"


def test_preview_of_a_refused_row_shows_its_cells_and_why(tmp_path):
    """A row that becomes no message: its cells, the cause, the cure, and exit 3."""
    file = tmp_path / "x"
    file.write_bytes(notice(账号="6.2E+18"))
    typed = lianfang("map", "preview", "bank-notice-csv", file, "--row", 1, "--json")
    assert (typed.code, typed.value["refused"]["code"]) == (3, "LF-ROW-LOSSY-NUMBER")
    assert typed.value["cells"][0] == {"line": 2, "column": "账号", "text": "6.2E+18"}
    assert "cure: " in lianfang("map", "preview", "bank-notice-csv", file, "--row", 1).out


def test_preview_works_for_records_tokens_and_groups(tmp_path):
    """An order in XML, a token with its certificate, and several lines of one number: each shows where its fields are from."""
    order = tmp_path / "order"
    order.write_bytes(record("200101", ORDERS["00101"] | {"Extra": "x"}, PAPERS))
    seen = lianfang("map", "preview", "auto", order, "--row", 1, "--json").value
    assert [item["column"] for item in seen["not_carried"]] == ["Extra", "/Request/Head/Mode", "/Request/Head/To"]
    names = [item["text"] for item in seen["cells"] if item["column"] == "Attachments/Attachment/Filename"]
    assert names == ["01-police-id-1.png", "01-police-id-2.png", "03-form.pdf"]
    certificate = DEMO / "telecom-c-passport-cert.pem"
    token = lianfang(
        *("map", "preview", "auto", DEMO / "telecom-c-passport.txt", "--row", 1, "--companion", f"cert={certificate}"),
        "--json",
    ).value
    assert "verification" in [item["field"] for item in token["fields"]]
    calls = lianfang("map", "preview", "auto", DEMO / "telecom-c-calls.csv", "--row", 1, "--json").value
    assert {item["line"] for item in calls["cells"]} > {calls["line"]}
    assert any(item["field"] == "calls[1].started_at" and item["value"] for item in calls["fields"])
