"""What is packed, who owns our import names, and what the command line loads."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "schemas", "adapters", "audit", "deploy")
HEAVY = {
    "sqlalchemy",
    "pika",
    "cryptography",
    "pydantic",
    "nacl",
    "google",
    "lxml",
    "yaml",
    "structlog",
    "phonenumbers",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release would be."""
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(place.glob("*.whl"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Every file of the five packages is packed, but for shell scripts of a checkout; no test and no state is."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *PACKAGES]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    wanted = {name for name in listed if name and not name.endswith(".sh") and (ROOT / name).exists()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == wanted


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed(wheel: Path, package: str) -> None:
    """A type checker of another project believes our annotations."""
    assert f"{package}/py.typed" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.parametrize(
    "kind", ["schemas/v1/*.pyi", "schemas/v1/*.proto", "adapters/profiles/*.toml", "deploy/policy/*.yaml"]
)
def test_data_files_are_packed(wheel: Path, kind: str) -> None:
    """Stubs, schemas, format profiles and the example policy travel in the wheel."""
    assert any(Path(name).match(kind) for name in zipfile.ZipFile(wheel).namelist())


def test_the_wheel_starts_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """`lianfang --help` runs from the wheel alone."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    ran = _python("import bus; print(bus.__file__)", tmp_path)
    assert ran.strip() == str(tmp_path / "bus" / "__init__.py")
    assert "Usage: lianfang" in _python(
        "import sys; sys.argv = ['lianfang', '--help']; from bus.cli import main; main()", tmp_path
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_owns_our_names(package: str) -> None:
    """No installed distribution shadows a package of ours (docs/adr/0001: the price of flat names)."""
    assert set(packages_distributions().get(package, [])) <= {"lianfang"}


def test_help_loads_nothing_heavy() -> None:
    """`lianfang --help` imports no database, broker, cryptography or validation library: it answers at once."""
    script = (
        "import atexit, json, sys; sys.argv = ['lianfang', '--help'];"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules}))));"
        "from bus.cli import main; main()"
    )
    loaded = set(json.loads(_python(script, ROOT).splitlines()[-1]))
    assert "bus" in loaded
    assert loaded & HEAVY == set()


def _python(script: str, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", script], check=False, env=environment, cwd="/", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
