"""Programs that others wrote and that check what we make: the distribution's own, installed when they are missing."""

from functools import cache
from pathlib import Path

from deploy.local.packages import ensure_program


@cache
def node_js() -> Path:
    """Return Node.js, which runs the second opener of the sealing format (tests/sealing/other)."""
    return ensure_program("node", "nodejs")
