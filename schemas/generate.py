"""Makes Python code and stubs from the .proto files. `python -m schemas.generate` writes them, `--check` compares.

- The files lie beside their .proto and are committed: reading, type checking and installing need no compiler.
- protoc is called from the folder that holds the packages, so the generated imports are those of the house.
- A generated file whose .proto is gone counts as not current.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("schemas/v1", "audit/v1")

_ROOT = Path(__file__).parent.parent
_PATTERNS = ("*_pb2.py", "*_pb2.pyi")


def generate(target: Path) -> None:
    """Write the code and stubs of every .proto under `target`, at the paths they have in the house.

    Raises:
        subprocess.CalledProcessError: protoc refused a file; its words are on stderr.
    """
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    protos = [
        str(path.relative_to(_ROOT)) for package in PACKAGES for path in sorted((_ROOT / package).glob("*.proto"))
    ]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--plugin=protoc-gen-mypy={plugin}"]
    outputs = [f"--python_out={target}", f"--mypy_out=readable_stubs,quiet:{target}"]
    subprocess.run([*command, *outputs, *protos], cwd=_ROOT, check=True)  # noqa: S603 - our own words and file names


def stale(fresh: Path) -> list[str]:
    """Return the committed files that are not what was just generated under `fresh`, missing and surplus ones too."""
    return sorted(
        name for name in _generated(_ROOT) | _generated(fresh) if _contents(_ROOT / name) != _contents(fresh / name)
    )


def _generated(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for pattern in _PATTERNS
        for path in (root / package).glob(pattern)
    }


def _contents(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def main(arguments: list[str]) -> int:
    """Write or compare; return 1 when what is committed is not current."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m schemas.generate [--check]", file=sys.stderr)  # noqa: T201 - a command
        return 2
    if not arguments:
        generate(_ROOT)
        return 0
    with tempfile.TemporaryDirectory() as place:
        generate(Path(place))
        names = stale(Path(place))
    for name in names:
        print(f"{name} is not what its .proto says: run make schemas")  # noqa: T201 - a command
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
