"""The catalogue of errors against the code that raises them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bus", "adapters", "audit", "schemas", "deploy")
CODE = re.compile(r"LF-[A-Z0-9]+(?:-[A-Z0-9]+)*")
PART = re.compile(r"[A-Z]+(?:-[A-Z]+)*")

COMPOSED = {
    "bus/policy/errors.py": ("LF-POLICY-", "bus/policy", {"PolicyError", "_refused"}),
    "bus/directory_rules.py": ("LF-DIRECTORY-", "bus/directory", {"refused"}),
    "bus/key_notices.py": ("LF-NOTICE-", "bus/key_notices.py", {"_refused"}),
}
"""Where a code is put together: its beginning, where the ends are written, and by which calls."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.endswith("_pb2.py"):
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def codes_in_code() -> dict[str, str]:
    """Return every code in the code and one place where it stands."""
    found: dict[str, str] = {}
    for path, tree in trees():
        for code, line in written(tree):
            found.setdefault(code, f"{path}:{line}")
        for beginning, under, calls in COMPOSED.values():
            if path.startswith(under):
                found |= {f"{beginning}{end}": f"{path}:{line}" for end, line in ends(tree, calls)}
    for path_ in other_files():
        for code in CODE.findall(path_.read_text(encoding="utf-8")):
            found.setdefault(code, path_.relative_to(ROOT).as_posix())
    return found


def written(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the codes that stand whole in the code's strings, docstrings included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for match in CODE.finditer(node.value):
                if not node.value[match.end() :].startswith("-"):
                    yield match[0], node.lineno


def other_files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (path for path in (ROOT / package).rglob("*") if path.suffix in (".toml", ".sh", ".yaml"))


def ends(tree: ast.Module, calls: set[str]) -> Iterator[tuple[str, int]]:
    """Yield the last parts of codes that are given to these calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
            for value in (*node.args[1:], *(word.value for word in node.keywords if word.arg == "code")):
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and PART.fullmatch(value.value):
                    yield value.value, node.lineno


def catalogue() -> dict[str, tuple[str, str]]:
    """Return (cause, cure) by code, from the tables of docs/errors.md."""
    rows = re.findall(r"^\| `(LF-[A-Z0-9-]+)` \| (.*) \| (.*) \|$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    assert len({code for code, _, _ in rows}) == len(rows), "a code stands twice in docs/errors.md"
    return {code: (cause, cure) for code, cause, cure in rows}


def test_every_code_is_documented() -> None:
    """Every LF- code that stands anywhere in the code has a row in docs/errors.md."""
    known = catalogue()
    missing = {code: place for code, place in codes_in_code().items() if code not in known}
    assert not missing, f"add to docs/errors.md: {missing}"


def test_no_documented_code_is_stale() -> None:
    """Every row of docs/errors.md is of a code that something raises."""
    assert sorted(set(catalogue()) - set(codes_in_code())) == []


def test_every_row_says_cause_and_cure() -> None:
    """Every row of the catalogue has a cause and a cure, in lower case and without a full stop."""
    for code, (cause, cure) in catalogue().items():
        assert cause.strip(), code
        assert cure.strip(), code
        assert not cause.endswith("."), code
        assert not cure.endswith("."), code


def test_codes_are_composed_only_where_this_test_looks() -> None:
    """A code is put together from parts only in places that this test can follow."""
    composed = {
        path
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for first, second in zip(node.values, node.values[1:], strict=False)
        if isinstance(first, ast.Constant)
        and re.search(r"LF-[A-Z0-9-]*$", str(first.value))
        and isinstance(second, ast.FormattedValue)
    }
    assert composed == set(COMPOSED)


@pytest.mark.parametrize("text", ["the catalogue", "LF-"])
def test_the_pattern_takes_no_other_text(text: str) -> None:
    """Text that is no code is not taken for one."""
    assert CODE.fullmatch(text) is None
