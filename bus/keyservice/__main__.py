"""`python -m bus.keyservice DIRECTORY`: be the key service of the node in DIRECTORY until standard input ends."""

import sys
from pathlib import Path

from bus.errors import BusError
from bus.keyservice.server import run


def main() -> None:
    """Run the key service; on a fault at start say cause, code and cure in one line and end with the fault's exit code."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the directory
        sys.exit("usage: python -m bus.keyservice DIRECTORY")
    try:
        run(Path(sys.argv[1]))
    except BusError as error:
        print(f"{error.code}: {error.cause}; {error.cure}", file=sys.stderr)  # noqa: T201 - the node passes it on
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
