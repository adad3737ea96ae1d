"""What we depend on: documented, locked with hashes, from nowhere in particular."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {name: (ROOT / "deploy" / "locks" / f"{name}.txt").read_text() for name in ("run", "dev", "bench", "soak")}
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|", re.MULTILINE)

ON_DEMAND = {
    canonicalize_name(Requirement(word).name)
    for group in ("bench", "soak")
    for word in PROJECT["dependency-groups"][group]
}
"""What `make bench` and `make soak` install when they are called."""


def direct() -> dict[str, Requirement]:
    """Return the dependencies that pyproject.toml names."""
    groups = [*PROJECT["dependency-groups"].values(), *PROJECT["project"]["optional-dependencies"].values()]
    words = [*PROJECT["project"]["dependencies"], *(word for group in groups for word in group)]
    return {canonicalize_name(word.name): word for word in map(Requirement, words)}


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return version and hashes by name."""
    found = {}
    for entry in re.split(r"\n(?=\S)", LOCKS[lock].replace("\\\n", " ")):
        if pinned := re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry):
            found[canonicalize_name(pinned[1])] = (
                pinned[2],
                frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry)),
            )
    return found


def test_every_dependency_has_its_line() -> None:
    """docs/dependencies.md names each direct dependency, and no other."""
    listed = [name for name, _, _ in ROW.findall((ROOT / "docs" / "dependencies.md").read_text())]
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(direct())


def test_the_licence_said_is_the_licence_it_has() -> None:
    """The licences in docs/dependencies.md are those of the installed packages."""
    wrong = []
    for name, said, _ in ROW.findall((ROOT / "docs" / "dependencies.md").read_text()):
        try:
            held = metadata(name)
        except PackageNotFoundError:
            assert canonicalize_name(name) in ON_DEMAND, name
            continue
        classifiers = [word for word in held.get_all("Classifier", []) if word.startswith("License")]
        facts = " ".join([held.get("License-Expression") or "", held.get("License") or "", *classifiers])
        if not facts.strip() and name == "atheris":
            continue  # its wheel says nothing; the LICENSE file of its source does
        family = re.match(r"[A-Za-z]+", said)
        if family is None or family[0].casefold() not in facts.casefold():
            wrong.append(f"{name}: {said}, but the package says {facts[:80]}")
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_versions_and_hashes_only(lock: str) -> None:
    """A lock file holds no address, no option and no path, and every pin has a hash."""
    lines = [line for line in LOCKS[lock].splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in lines if re.search(r"://|^\s*-(?!-hash=)|@|file:", line)] == []
    assert [
        line for line in lines if re.match(r"\S", line) and not re.match(r"[A-Za-z0-9._-]+==\S+( ; .+)? \\$", line)
    ] == []
    assert [name for name, (_, hashes) in pins(lock).items() if not hashes] == []


def test_the_locks_agree() -> None:
    """What runs in production was tested: run.txt is a part of dev.txt, version and hash."""
    assert pins("run").items() <= pins("dev").items()
    for more in ("bench", "soak"):
        both = pins("dev").keys() & pins(more).keys()
        assert {name: pins(more)[name] for name in both} == {name: pins("dev")[name] for name in both}


def test_the_locks_are_those_of_the_project() -> None:
    """Every dependency is locked at a version that pyproject.toml allows; run.txt holds the run-time ones."""
    locked = {**pins("bench"), **pins("soak"), **pins("dev")}
    assert [name for name, word in direct().items() if not word.specifier.contains(locked[name][0])] == []
    assert {canonicalize_name(Requirement(word).name) for word in PROJECT["project"]["dependencies"]} <= set(
        pins("run")
    )


def test_generated_code_runs_on_the_oldest_protobuf_allowed() -> None:
    """Generated code refuses an older runtime at import, so the lower bound is the version that wrote it."""
    floor = next(spec.version for spec in direct()["protobuf"].specifier if spec.operator == ">=")
    headers = {
        re.search(r"Protobuf Python Version: (\S+)", path.read_text())[1]
        for package in ("schemas", "audit")
        for path in (ROOT / package / "v1").glob("*_pb2.py")
    }
    assert headers == {floor}
