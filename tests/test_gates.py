"""The gates bite: what each is there to stop, it stops."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import generate

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
BASELINE = ROOT / "tests" / "schemas" / "baseline.binpb"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy what the schema gates look at."""
    for package in ("schemas", "audit"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def test_generated_code_is_current_and_a_change_is_seen(tmp_path: Path) -> None:
    """Committed code is what its .proto gives; a changed or missing or surplus file is named."""
    generate.generate(tmp_path)
    assert generate.stale(tmp_path) == []
    (tmp_path / "schemas/v1/common_pb2.py").write_text("# older\n")
    (tmp_path / "schemas/v1/notice_pb2.pyi").unlink()
    (tmp_path / "audit/v1/surplus_pb2.py").write_text("# no .proto\n")
    assert generate.stale(tmp_path) == [
        "audit/v1/surplus_pb2.py",
        "schemas/v1/common_pb2.py",
        "schemas/v1/notice_pb2.pyi",
    ]


def test_a_field_cannot_be_taken_away(copy: Path) -> None:
    """A field that others may have sent stays in the language, under its number."""
    assert _buf(copy, "breaking", "--against", str(BASELINE)) == ""
    proto = copy / "schemas" / "v1" / "common.proto"
    without, count = re.subn(r"  int64 minor_units = .*\n", "", proto.read_text())
    assert count == 1
    proto.write_text(without)
    assert "was deleted" in _buf(copy, "breaking", "--against", str(BASELINE))


def test_a_field_without_a_comment_is_refused(copy: Path) -> None:
    """Whoever adds a field says what it means."""
    assert _buf(copy, "lint") == ""
    proto = copy / "schemas" / "v1" / "common.proto"
    proto.write_text(proto.read_text() + "\n// A thing.\nmessage Thing {\n  int64 amount = 1;\n}\n")
    assert "should have a non-empty comment" in _buf(copy, "lint")


IMPORTS = {
    "audit imports nothing of ours": ("audit/tree.py", "import schemas"),
    "the packages": ("schemas/errors.py", "import bus.errors"),
    "inside bus": ("bus/errors.py", "import bus.node"),
    "a new module has its place": ("bus/surplus.py", '"""Nowhere."""'),
    "only a key service": ("bus/outbound.py", "import bus.keyservice.vault"),
    "the verifier": ("audit/verify.py", "import audit.store"),
    "only the RabbitMQ transport": ("bus/queue.py", "import pika"),
    "cryptographic primitives": ("bus/inbound.py", "import cryptography"),
    "adapters know no network": ("adapters/errors.py", "import socket"),
    "policy and sealing": ("bus/policy/model.py", "import sqlalchemy"),
}


@pytest.mark.parametrize("contract", IMPORTS)
def test_an_import_against_the_order_is_refused(tmp_path: Path, contract: str) -> None:
    """Each import contract finds the import that it forbids."""
    for package in ("bus", "schemas", "adapters", "audit", "deploy"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    name, offence = IMPORTS[contract]
    with (tmp_path / name).open("a") as file:
        file.write(f"\n{offence}\n")
    assert _contracts(ROOT)[0] == 0
    code, words = _contracts(tmp_path)
    assert code == 1
    module = name.removesuffix(".py").replace("/", ".")
    assert re.search(rf"{module} -> {offence.removeprefix('import ')}|^- {module}$", words, re.MULTILINE), words


def _buf(place: Path, *words: str) -> str:
    return subprocess.run([BIN / "buf", *words], check=False, cwd=place, capture_output=True, text=True).stdout


def _contracts(place: Path) -> tuple[int, str]:
    command = [BIN / "lint-imports", "--no-logo", "--no-cache"]
    ran = subprocess.run(command, check=False, cwd=place, capture_output=True, text=True)
    return ran.returncode, ran.stdout
