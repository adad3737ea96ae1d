"""The code as text: sizes, words, dead modules, machine paths, secrets. Each rule is shown to bite."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "schemas", "adapters", "audit", "deploy")
MODULE_LINES_MAX = 400
TEST_MODULE_LINES_MAX = 600  # a list of cases reads well when it is long
FUNCTION_LINES_MAX = 60
BANNED_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers", "misc"}
BANNED_FILES = BANNED_WORDS | {"common"}
ALLOWED_FILES = {"schemas/v1/common.proto", "schemas/v1/common_pb2.py", "schemas/v1/common_pb2.pyi"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~$})])/(home|root|work|Users)/\w")
REGISTRY_HOST = re.compile(
    r"-(?:extra-)?index-url[ =]+https?:|\bregistry\s*=\s*\"?https?:|https?://\S+/(?:simple|packages)\b"
)
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}")
KEY_FILES = {".key", ".p12", ".pfx", ".jks"}
REASONLESS_NOQA = re.compile(r"#\s*noqa(?!: [A-Z0-9, ]+ - \S)")


@cache
def files() -> tuple[str, ...]:
    """Return what is in the tree: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(sorted(name for name in set(out.split("\0")) if name and (ROOT / name).is_file()))


@cache
def texts() -> dict[str, str]:
    """Return every file that is UTF-8 text, but for this one, which must say what it forbids."""
    found = {}
    for name in files():
        if name == Path(__file__).relative_to(ROOT).as_posix():
            continue
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            try:
                found[name] = content.decode("utf-8")
            except UnicodeDecodeError:
                continue
    return found


def sources() -> dict[str, str]:
    """Return the Python that people wrote."""
    return {name: text for name, text in texts().items() if name.endswith(".py") and not name.endswith("_pb2.py")}


def ours() -> dict[str, str]:
    """Return the Python of the packages."""
    return {name: text for name, text in sources().items() if name.startswith(tuple(f"{p}/" for p in PACKAGES))}


def long_modules(all_sources: dict[str, str]) -> list[str]:
    return [
        f"{name}: {lines} lines"
        for name, text in all_sources.items()
        if (lines := text.count("\n")) > (TEST_MODULE_LINES_MAX if name.startswith("tests/") else MODULE_LINES_MAX)
    ]


def long_functions(all_sources: dict[str, str]) -> list[str]:
    """Return functions that are too long, docstring not counted."""
    return [
        f"{name}: {node.name}: {lines} lines"
        for name, node in _definitions(all_sources)
        if not isinstance(node, ast.ClassDef)
        and (lines := _span(node) - (_span(node.body[0]) if ast.get_docstring(node) else 0)) > FUNCTION_LINES_MAX
    ]


def banned_names(all_sources: dict[str, str]) -> list[str]:
    """A thing without a better name than these has no reason (STYLE 9)."""
    places = [
        name
        for name in all_sources
        if name not in ALLOWED_FILES and BANNED_FILES & set(re.split(r"[/._-]", name.lower()))
    ]
    names = [
        f"{name}: {node.name}"
        for name, node in _definitions(all_sources)
        if BANNED_WORDS & {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", node.name)}
    ]
    return places + names


def dead_modules(all_sources: dict[str, str]) -> list[str]:
    """Return modules that nobody imports or names as `module:attribute`, and that cannot be run.

    What only tests import is dead too, but in deploy, where a private database for trials may stand.
    """
    by_packages: set[str] = set()
    by_tests: set[str] = set()
    for name, text in all_sources.items():
        found = by_tests if name.startswith("tests/") else by_packages
        found |= _imported(ast.parse(text)) | set(re.findall(r"""["']([a-z_.]+)(?=[:"'])""", text))
    return [
        name
        for name, text in all_sources.items()
        if name.startswith(tuple(f"{package}/" for package in PACKAGES))
        and not name.endswith(("__init__.py", "__main__.py"))
        and name.removesuffix(".py").replace("/", ".")
        not in (by_packages | by_tests if name.startswith("deploy/") else by_packages)
        and 'if __name__ == "__main__":' not in text
    ]


def lines_with(pattern: re.Pattern[str]) -> Callable[[dict[str, str]], list[str]]:
    """Return a rule that reports each line in which the pattern is found."""

    def rule(all_texts: dict[str, str]) -> list[str]:
        return [
            f"{name}:{number}: {found[0]}"
            for name, text in all_texts.items()
            for number, line in enumerate(text.split("\n"), 1)
            if (found := pattern.search(line))
        ]

    return rule


def undocumented_modules(all_sources: dict[str, str]) -> list[str]:
    return [name for name, text in all_sources.items() if text.strip() and not ast.get_docstring(ast.parse(text))]


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _definitions(
    all_sources: dict[str, str],
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    for name, text in all_sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield name, node


def _imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


RULES: list[tuple[Callable[[dict[str, str]], list[str]], Callable[[], dict[str, str]], dict[str, str]]] = [
    (long_modules, sources, {"a.py": "\n" * (MODULE_LINES_MAX + 1)}),
    (long_functions, sources, {"a.py": "def f():\n" + "    f()\n" * FUNCTION_LINES_MAX}),
    (banned_names, sources, {"a.py": "class KeyManager: ..."}),
    (banned_names, sources, {"bus/utils.py": ""}),
    (banned_names, sources, {"a.py": "def parse_helper(): ..."}),
    (dead_modules, sources, {"bus/a.py": "", "tests/test_a.py": "import bus.a"}),
    (undocumented_modules, ours, {"bus/a.py": "x = 1"}),
    (lines_with(UNFINISHED), texts, {"a.md": "TODO: write"}),
    (lines_with(MACHINE_PATH), texts, {"a.toml": "path = /home/somebody"}),
    (lines_with(REGISTRY_HOST), texts, {"a.txt": "--index-" + "url https://mirror.example/simple"}),
    (lines_with(SECRET), texts, {"a.txt": "-----BEGIN PRIVATE KEY-----"}),
    (lines_with(REASONLESS_NOQA), ours, {"bus/a.py": "x = 1  # noqa: E501"}),
]
NAMES = [
    *("module size", "function size", "class names", "file names", "function names", "dead modules"),
    *("module docstrings", "unfinished", "machine paths", "registry hosts", "secrets", "noqa reasons"),
]


@pytest.mark.parametrize(("rule", "subject", "offence"), RULES, ids=NAMES)
def test_tree_is_tidy(rule: Callable, subject: Callable, offence: dict[str, str]) -> None:
    """Nothing in the tree breaks a rule of the house, and each rule finds what it forbids."""
    assert rule(offence) != []
    offences = rule(subject())
    assert not offences, "\n".join(offences)


def test_no_key_files_are_in_the_tree() -> None:
    """Private keys are made when they are needed, never committed; a certificate may be."""
    assert [name for name in files() if Path(name).suffix in KEY_FILES] == []


def test_scripts_can_be_run() -> None:
    """What begins with #! may be executed."""
    scripts = [name for name, text in texts().items() if text.startswith("#!")]
    assert scripts != []
    assert [name for name in scripts if not (ROOT / name).stat().st_mode & 0o100] == []
