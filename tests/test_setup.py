"""The scripts that make the environment and take it away, played in a folder of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("bash", "env", "cat", "sha256sum", "cut", "mkdir", "flock", "id", "dirname")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Copy what the scripts look at; beside it a folder with the few tools they need, and no Python."""
    for name in ("deploy/local/bootstrap.sh", "deploy/local/clean.sh", "deploy/locks/dev.txt", "pyproject.toml"):
        (tmp_path / "house" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "house" / name)
    (tmp_path / "tools").mkdir()
    for tool in TOOLS:
        (tmp_path / "tools" / tool).symlink_to(shutil.which(tool))
    return tmp_path / "house"


def run(house: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [house / "deploy" / "local" / script]
    return subprocess.run(command, check=False, env=environment, cwd="/", capture_output=True, text=True, timeout=60)


def test_without_python_it_says_what_to_install(house: Path) -> None:
    """No Python of ours is made of nothing: cause, cure and code, and nothing half-done."""
    ran = run(house, "bootstrap.sh", PATH=str(house.parent / "tools"))
    assert ran.returncode == 1
    assert "no Python 3.11 or newer was found" in ran.stderr
    assert "cure: install it" in ran.stderr
    assert "code: LF-SETUP-0001" in ran.stderr
    assert not (house / ".venv").exists()


def test_without_the_venv_module_it_names_the_package(house: Path) -> None:
    """Debian's Python without its venv package is told apart from no Python."""
    python = house.parent / "python"
    python.write_text(f'#!/bin/bash\n[ "$2" != "import ensurepip, venv" ] && exec {sys.executable} "$@"\nexit 1\n')
    python.chmod(0o755)
    ran = run(house, "bootstrap.sh", PATH=str(house.parent / "tools"), PYTHON=str(python))
    assert ran.returncode == 1
    assert "has no venv module" in ran.stderr
    assert not (house / ".venv").exists()


def test_a_current_environment_is_left_alone(house: Path) -> None:
    """While lock, project and script are what they were, nothing is done; once one changes, something is."""
    (house / ".venv" / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", house / ".venv" / "bin" / "lianfang")
    contents = b"".join(
        (house / name).read_bytes() for name in ("deploy/locks/dev.txt", "pyproject.toml", "deploy/local/bootstrap.sh")
    )
    (house / ".venv" / "lianfang.stamp").write_text(sha256(contents).hexdigest() + "\n")
    tools = str(house.parent / "tools")
    assert (run(house, "bootstrap.sh", PATH=tools).returncode, (house / ".lianfang").exists()) == (0, False)
    with (house / "deploy/locks/dev.txt").open("a") as lock:
        lock.write("# another\n")
    assert run(house, "bootstrap.sh", PATH=tools).returncode == 1


def test_clean_takes_away_what_we_made_and_nothing_else(house: Path) -> None:
    """State, environment and caches go, and the process that runs on them ends; a person's file and other processes stay."""
    for name in (".lianfang/demo", ".venv/bin", "dist", "bus/__pycache__", "notes"):
        (house / name).mkdir(parents=True)
    for package in ("schemas", "adapters", "audit", "tests"):
        (house / package).mkdir()
    (house / ".env").write_text("mine")
    with _sleeper(house / ".lianfang" / "demo") as ours, _sleeper(house / "notes") as other:
        ran = run(house, "clean.sh", PATH=os.environ["PATH"])
        assert ran.returncode == 0, ran.stderr
        assert ours.wait(10) < 0
        assert other.poll() is None
    left = {path.relative_to(house).as_posix() for path in house.iterdir()}
    assert left == {"deploy", "pyproject.toml", "bus", "schemas", "adapters", "audit", "tests", "notes", ".env"}
    assert not (house / "bus" / "__pycache__").exists()


@contextmanager
def _sleeper(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(directory / "node")])
    try:
        yield process
    finally:
        process.kill()
        process.wait()
