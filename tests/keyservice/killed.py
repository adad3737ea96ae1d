"""Kills a rekeying with SIGKILL at each of its steps, each on a copy of its own; `python -m tests.keyservice.killed VAULT OUT SETTINGS`.

A process of its own, so that it may fork: each child is killed by its own hand at one step, and a last one ends well.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from bus import config
from bus.keyservice.rekey import STEPS, rekey
from bus.randomness import SystemRandomness


def main(vault: Path, out: Path, settings: config.Keys) -> None:
    """For each step make OUT/STEP/keys, a copy of the vault whose rekeying was killed there; OUT/done ended well."""
    for step in (*STEPS, "done"):
        node = out / step
        shutil.copytree(vault, node / "keys")
        child = os.fork()
        if child == 0:
            rekey(node, settings, SystemRandomness(), at=lambda now, step=step: _die() if now == step else None)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFEXITED(status) if step == "done" else os.WTERMSIG(status) == signal.SIGKILL, (step, status)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), config.Keys.model_validate_json(sys.argv[3]))
