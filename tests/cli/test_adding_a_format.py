"""docs/adding-a-format.md: the walk with a document that nobody prepared is walked again, with what the page shows."""

import re
from pathlib import Path
from textwrap import dedent

from tests.cli.conftest import lianfang

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-format.md").read_text("utf-8")
SECTION = PAGE.split("## A format that nobody prepared")[1].split("\n## ")[0]


def shown(language: str) -> list[str]:
    """Return the section's blocks in a language."""
    return [dedent(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", SECTION, re.DOTALL | re.MULTILINE)]


def test_the_walk_of_the_page_ends_with_a_passing_test(tmp_path):
    """No dialect fits; one field finds the paths, the rest reads them, and of three files one is a message and two are refused."""
    (start, rest, condition, ignored), (good,) = shown("toml"), shown("json")
    profile, golden = tmp_path / "transfer-json.toml", tmp_path / "transfer-json.golden"
    golden.mkdir()
    file = golden / "good.json"
    file.write_text(good, "utf-8")
    assert lianfang("map", "identify", file).code == 5
    profile.write_text(start, "utf-8")
    found = lianfang("map", "check", profile, file, "--json").value
    paths = {item["cause"].split()[1] for item in found["not_carried"]}
    assert {"transfer/cents", "transfer/payer/bank/aba", "transfer/control/version"} <= paths
    assert "1000000001" in lianfang("map", "preview", profile, file, "--row", 1).out
    profile.write_text(start + rest, "utf-8")
    found = lianfang("map", "check", profile, file, "--json").value
    left = [item["cause"].split()[1] for item in found["not_carried"]]
    assert left == ["transfer/control/live", "transfer/control/version"]
    whole = start.replace('format = "json"\n', f'format = "json"\n{ignored}')
    profile.write_text(
        whole.replace('message = "TransactionTrace"\n', f'message = "TransactionTrace"\n{condition}') + rest, "utf-8"
    )
    found = lianfang("map", "check", profile, file, "--json").value
    assert (found["messages"], found["not_carried"], found["warnings"]) == (1, [], [])
    (golden / "trial.json").write_text(good.replace('"Y"', '"N"'), "utf-8")
    (golden / "point.json").write_text(good.replace("000000123450", "0000001234.50"), "utf-8")
    assert lianfang("map", "test", profile).code == 1
    assert lianfang("map", "test", profile, "--write").code == 0
    assert '"minor_units": "123450"' in (golden / "good.expected.json").read_text("utf-8")
    assert "LF-ROW-AMOUNT" in (golden / "point.expected.json").read_text("utf-8")
    assert "LF-ROW-KIND" in (golden / "trial.expected.json").read_text("utf-8")
    assert lianfang("map", "test", profile).code == 0
