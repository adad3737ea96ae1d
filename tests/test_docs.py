"""The documents say what is so: commands, links, symbols and tests that they name are there."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README_WORDS_MAX = 1300
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
STANDS = dict(re.findall(r"^- `([\w.]+)`: `([\w./]+)`$", ARCHITECTURE, re.MULTILINE))
TRUST = re.search(r"\| sentence \| test \|\n\|---\|---\|\n((?:\|.*\n)*)", ARCHITECTURE)


def definitions(path: str) -> set[str]:
    """Return the functions, classes and methods of a module."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def test_the_readme_is_short() -> None:
    """A newcomer reads the README to its end."""
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS_MAX


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    """A link to a file of ours has that file; a link into a page has its heading. What stands as code is no link."""
    path = ROOT / document
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", path.read_text())):
        if re.match(r"\w+://", target):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_named_exists(document: str) -> None:
    """`make something` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
    assert named <= targets


def test_every_target_is_explained() -> None:
    """`make help` has a line for each target that people call."""
    words = subprocess.run(["make", "-s", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for target in ("demo", "demo-serve", "test", "check", "ci", "bench", "soak", "clean", "locks", "schemas"):
        assert re.search(rf"^  make {target} +\S", words, re.MULTILINE), target


@pytest.mark.parametrize("symbol", STANDS)
def test_every_symbol_stands_where_it_is_said_to(symbol: str) -> None:
    """The list at the end of ARCHITECTURE.md is true."""
    assert symbol in definitions(STANDS[symbol])


def test_the_list_of_symbols_is_whole() -> None:
    """What is listed is spoken of above, and in order."""
    prose = ARCHITECTURE[: ARCHITECTURE.index("## Where it stands")]
    assert [symbol for symbol in STANDS if f"`{symbol}`" not in prose] == []
    assert list(STANDS) == sorted(STANDS, key=str.casefold)


def test_every_trust_sentence_names_its_test() -> None:
    """A sentence of trust stands only with a test that exists: `tests/….py::test_…`."""
    assert TRUST is not None
    for row in TRUST[1].splitlines():
        _, sentence, named, _ = (cell.strip() for cell in row.split("|"))
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", named)
        assert tests, sentence
        for path, test in tests:
            assert (ROOT / path).exists(), path
            assert test in definitions(path), f"{path}::{test}"


@pytest.mark.parametrize("path", sorted(path.name for path in ROOT.glob("docs/adr/*.md")))
def test_a_decision_says_what_it_costs(path: str) -> None:
    """A decision record has its number, the question, the choice and the price."""
    text = (ROOT / "docs" / "adr" / path).read_text()
    assert text.startswith(f"# {path[:4]} ")
    for part in ("Question", "Options", "Choice", "What it costs us"):
        assert f"**{part}" in text, part
