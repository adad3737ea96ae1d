"""`lianfang map test`, `docs` and `schema`: profiles themselves."""

import shutil

from tests.adapters.files import DEMO, notice
from tests.cli.conftest import lianfang

PROFILES = DEMO.parents[2] / "adapters" / "profiles"


def test_all_profiles_pass_their_golden_rows():
    """--all tests the five that come with the product."""
    typed = lianfang("map", "test", "--all", "--json")
    assert (typed.code, typed.value["ok"], len(typed.value["profiles"])) == (0, True, 5)
    assert lianfang("map", "test", "--json").code == 2
    assert "bank-notice-csv 1: ok" in lianfang("map", "test", "bank-notice-csv").out


def test_a_profile_of_ones_own_is_tested_with_the_rows_beside_it(tmp_path):
    """Without golden rows it says so; with them but nothing reviewed it fails; once written it passes, until it changes."""
    mine = tmp_path / "mine.toml"
    shutil.copy(PROFILES / "bank-notice-csv.toml", mine)
    assert lianfang("map", "test", mine, "--json").value["code"] == "LF-MAP-NO-GOLDEN"
    (tmp_path / "mine.golden").mkdir()
    (tmp_path / "mine.golden" / "a.csv").write_bytes(notice())
    assert lianfang("map", "test", mine, "--json").code == 1
    assert lianfang("map", "test", mine, "--write", "--json").code == 0
    assert lianfang("map", "test", mine, "--json").value["profiles"][0]["cases"][0]["rows"] == 1
    mine.write_text(mine.read_text("utf-8").replace('"支出" = "TRANSACTION_DIRECTION_OUT"', ""), "utf-8")
    typed = lianfang("map", "test", mine)
    assert (typed.code, "NOT as reviewed" in typed.out) == (1, True)
