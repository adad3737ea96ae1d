"""Real files beside the checkout, where they are: which profile takes which, found once."""

from functools import cache
from pathlib import Path

from adapters.detect import identify
from adapters.golden import Case

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
BYTES_MAX = 200_000
EACH_MAX = 1000
"""Samples of one profile that are mutated: more than there are."""


@cache
def _all() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for path in sorted(SAMPLES.rglob("*")) if SAMPLES.is_dir() else ():
        if not path.is_file() or path.stat().st_size > BYTES_MAX:
            continue
        data = path.read_bytes()
        fit = identify(data).chosen
        if fit is not None and len(found.setdefault(fit.profile, [])) < EACH_MAX:
            companions = {other.stem: other.read_bytes() for other in path.parent.iterdir() if other.suffix == ".pem"}
            found[fit.profile].append(Case(path.name, data, companions, None))
    return found


def samples_of(profile: str) -> list[Case]:
    """Return a few samples that are in a profile's dialect; none where there are no samples."""
    return _all().get(profile, [])
