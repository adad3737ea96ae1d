"""Finds SoftHSM, a PKCS#11 token in software, or installs the distribution's package: for tests, never for real keys.

The package has no service. A token lives in a directory of whoever made it, named by SOFTHSM2_CONF: nothing below /var is used.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.packages import PackageMissing, installing

MODULE_VARIABLE = "LIANFANG_SOFTHSM_MODULE"
_PACKAGE = "softhsm2"
_PLACES = ("/usr/lib/softhsm", "/usr/lib64/softhsm", "/usr/lib64/pkcs11", "/usr/local/lib/softhsm")


@dataclass(frozen=True)
class SoftHsm:
    """A SoftHSM on this machine: its PKCS#11 module, and the program that makes tokens."""

    module: Path
    program: Path

    def make_token(self, directory: Path, label: str, pin: str) -> Path:
        """Make a token in a directory; return the configuration that SOFTHSM2_CONF must name."""
        tokens = directory / "tokens"
        tokens.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        command = [str(self.program), "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", pin]
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "SOFTHSM2_CONF": str(configuration)}
        subprocess.run(command, check=True, capture_output=True, env=environment, timeout=60)
        return configuration


def find() -> SoftHsm | None:
    """Return the SoftHSM of this machine, or None."""
    named = os.environ.get(MODULE_VARIABLE)
    modules = [Path(named)] if named else [Path(place) / "libsofthsm2.so" for place in _PLACES]
    program = shutil.which("softhsm2-util")
    module = next((path for path in modules if path.exists()), None)
    return SoftHsm(module, Path(program)) if module is not None and program is not None else None


def ensure() -> SoftHsm:
    """Return `find()`, installing the distribution's package when there is none. PackageMissing when that cannot be."""
    found = find()
    if found is None:
        with installing(_PACKAGE) as apt:
            if find() is None:  # somebody else may have installed it while we waited
                apt.install(_PACKAGE)
        found = find()
    if found is None:
        raise PackageMissing(
            f"apt installed {_PACKAGE}, but its module is in none of {', '.join(_PLACES)}",
            cure=f"say where it is with {MODULE_VARIABLE}",
        )
    return found


def main() -> int:
    """Install SoftHSM when it is missing, and say what there is."""
    try:
        found = ensure()
    except PackageMissing as error:
        print(f"lianfang: {error.cause}\n  cure: {error.cure}\n  code: LF-SETUP-0001", file=sys.stderr)
        return 1
    print(f"SoftHSM in {found.module}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
