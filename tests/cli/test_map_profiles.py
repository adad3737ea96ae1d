"""`lianfang map test`, `docs` and `schema`: profiles themselves."""

import shutil

import adapters
from tests.adapters.files import DEMO, notice
from tests.cli.conftest import lianfang

PROFILES = DEMO.parents[2] / "adapters" / "profiles"


def test_all_profiles_pass_their_golden_rows():
    """--all tests every one that comes with the product."""
    typed = lianfang("map", "test", "--all", "--json")
    assert (typed.code, typed.value["ok"], len(typed.value["profiles"])) == (0, True, len(adapters.profiles()))
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


def test_diff_names_the_rows_and_fields_that_a_change_of_profile_changes(tmp_path):
    """Another scale, a code less and a field less: the balance of each row, one refusal, one name; no value is told."""
    text = (PROFILES / "bank-notice-csv.toml").read_text("utf-8")
    old, new, file = tmp_path / "old.toml", tmp_path / "new.toml", tmp_path / "x"
    old.write_text(text, "utf-8")
    changed = text.replace('"支出" = "TRANSACTION_DIRECTION_OUT"', "")
    changed = changed.replace('[field."holder.name"]\nfrom = "holder"\n', "")
    assert changed.count("scale = 2") == 2
    new.write_text(changed.replace("scale = 2", "scale = 3", 1), "utf-8")
    row = notice().decode().splitlines()[1]
    file.write_text(f"{notice().decode()}{row.replace('支出', '收入')}\n", "utf-8")
    typed = lianfang("map", "diff", old, new, "--on", file, "--json")
    assert (typed.code, typed.value["rows"]) == (1, 2)
    first, second = typed.value["changed"]
    assert {"field": "refused", "change": "new"} in first["changes"]
    assert second == {
        "row": 2,
        "line": 3,
        "changes": [
            {"field": "holder.name", "change": "gone"},
            {"field": "balance.minor_units", "change": "another value"},
            {"field": "warning column_not_carried", "change": "new"},
        ],
    }
    assert "1234" not in lianfang("map", "diff", old, new, "--on", file).out
    assert lianfang("map", "diff", old, "bank-notice-csv", "--on", file).code == 0


def test_a_format_that_nobody_prepared_is_brought_to_passing_golden_rows(tmp_path):
    """Infer, check, golden rows: no code, and one edit of the TOML, to name what the header does not say."""
    file, mine = tmp_path / "export.csv", tmp_path / "mine.toml"
    row = f"6222020200112230019|{'张三'}|1001|2026-11-20 10:00:01|8123.45\n"
    file.write_text(f"卡号|户名|特征代码|交易时间|发生额\n{row}", "gb18030")
    stated = ("--zone", "Asia/Shanghai", "--currency", "CNY", "--region", "CN")
    typed = lianfang("map", "infer", file, "--to", "SuspiciousAccountNotice", "-o", mine, *stated, "--json")
    columns = {item["column"]: item for item in typed.value["columns"]}
    assert (typed.code, typed.value["delimiter"], typed.value["encoding"]) == (0, "|", "gb18030")
    assert [name for name, item in columns.items() if not item["written"]] == ["发生额"]
    assert "look like amounts" in columns["发生额"]["why"]
    text = mine.read_text("utf-8").replace('# balance = ["发生额"]', 'transactions_amount = ["发生额"]')
    text = text.replace(
        "[target]", '[field."transactions[0].amount"]\nfrom = "transactions_amount"\nparse = "money"\n\n[target]'
    )
    mine.write_text(text, "utf-8")
    assert lianfang("map", "check", mine, file, "--json").value["messages"] == 1
    (tmp_path / "mine.golden").mkdir()
    (tmp_path / "mine.golden" / "one.csv").write_bytes(file.read_bytes())
    assert lianfang("map", "test", mine, "--write", "--json").code == 0
    assert lianfang("map", "test", mine, "--json").code == 0
    assert "发生额" in lianfang("map", "infer", file, "--to", "SuspiciousAccountNotice", "--out", mine, *stated).out
