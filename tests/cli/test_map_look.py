"""`lianfang map`: what is said of a file before it is used."""

from tests.adapters.files import DEMO, notice
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
