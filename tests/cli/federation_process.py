"""A federation in memory, in a process of its own: makes it in the directory given, says `ready`, ends with its input."""

import sys
from pathlib import Path

from deploy.demo.federation import MemoryFederation, make_federation


def main() -> None:
    """Run the federation until standard input ends."""
    federation = MemoryFederation(make_federation(Path(sys.argv[1]), transport="memory"))
    federation.start()
    print("ready", flush=True)
    sys.stdin.read()
    federation.stop()


if __name__ == "__main__":
    main()
