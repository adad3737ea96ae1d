"""The gates bite: what each is there to stop, it stops."""

import os
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


OFFENCES = {
    "audit imports nothing of ours": ("audit/tree.py", "schemas"),
    "the packages: imports go down": ("schemas/errors.py", "bus.errors"),
    "inside bus, from the command line down": ("bus/errors.py", "bus.node"),
    "only a key service holds private keys": ("bus/outbound.py", "bus.keyservice.vault"),
    "the verifier needs no SQL": ("audit/verify.py", "audit.store"),
    "only the RabbitMQ transport speaks AMQP": ("bus/queue.py", "pika"),
    "the topology and the transport in memory": ("bus/transport/topology.py", "pika"),
    "cryptographic primitives are used in few": ("bus/inbound.py", "cryptography"),
    "the group of match tags": ("bus/inbound.py", "rbcl"),
    "adapters know no network": ("adapters/errors.py", "socket"),
    "policy and sealing decide on values": ("bus/policy/model.py", "sqlalchemy"),
    "what is asked of a key service is values": ("bus/keyservice/protocol.py", "sqlalchemy"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what import-linter says of a copy in which every contract is broken once."""
    place = tmp_path_factory.mktemp("house")
    for package in ("bus", "schemas", "adapters", "audit", "deploy"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    for name, offence in OFFENCES.values():
        with (place / name).open("a") as file:
            file.write(f"\nimport {offence}\n")
    (place / "bus" / "surplus.py").write_text('"""A module without a place."""\n')
    return _contracts(place)


def test_imports_are_in_order() -> None:
    """Every contract holds, and every contract is among the offences below."""
    contracts = re.findall(r"^name = \"(.+)\"$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    kept = [name for name in contracts if any(name.startswith(known) for known in OFFENCES)]
    assert len(kept) == len(OFFENCES) == len(contracts) - 1  # one name is the project's
    assert "0 broken" in _contracts(ROOT)


@pytest.mark.parametrize("contract", OFFENCES)
def test_an_import_against_the_order_is_refused(broken: str, contract: str) -> None:
    """Each import contract finds the import that it forbids, and names the line."""
    name, offence = OFFENCES[contract]
    module = name.removesuffix(".py").replace("/", ".")
    assert re.search(rf"{re.escape(module)} -> {re.escape(offence)} \(l\.\d+\)", broken), broken
    assert re.search(rf"^{re.escape(contract)}.*\n-+\n", broken, re.MULTILINE), broken


def test_a_module_of_bus_without_a_place_is_refused(broken: str) -> None:
    """Whoever adds a module says on which layer it stands."""
    assert re.search(r"^- bus\.surplus$", broken, re.MULTILINE), broken


def _buf(place: Path, *words: str) -> str:
    return subprocess.run([BIN / "buf", *words], check=False, cwd=place, capture_output=True, text=True).stdout


def _contracts(place: Path) -> str:
    command = [BIN / "lint-imports", "--no-logo", "--no-cache"]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, check=False, cwd=place, env=environment, capture_output=True, text=True).stdout
