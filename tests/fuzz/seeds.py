"""What fuzzing begins with: the golden files of the profiles, and real samples where they lie beside the checkout."""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from adapters.detect import identify
from adapters.golden import cases_in
from adapters.profile import Profile

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
SEED_BYTES_MAX = 65_536


def seeds(profiles: Sequence[Profile]) -> Iterator[tuple[str, bytes]]:
    """Yield (profile, file) for each profile given."""
    names = {profile.name for profile in profiles}
    folder = resources.files("adapters") / "profiles"
    for name in sorted(names):
        for case in cases_in(folder / f"{name}.golden"):
            yield name, case.data
    for path in sorted(SAMPLES.rglob("*")) if SAMPLES.is_dir() else ():
        if path.is_file() and path.stat().st_size <= SEED_BYTES_MAX:
            data = path.read_bytes()
            if (fit := identify(data).chosen) is not None and fit.profile in names:
                yield fit.profile, data
