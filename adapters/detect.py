"""Which dialect a file is in, by its content, never by its name."""

from collections.abc import Callable

from adapters import passport, platform
from adapters.catalogue import profiles
from adapters.decode import encoding_of
from adapters.errors import FileRefused
from adapters.profile import Profile
from adapters.table import header_score


def detect(data: bytes) -> str:
    """Return the name of the profile that fits a file. FileRefused when none does, or several do equally well."""
    scores = {name: _SCORES[profile.file.source.format](profile, data) for name, profile in profiles().items()}
    best = max(scores.values(), default=0)
    names = [name for name, score in scores.items() if score == best]
    if not best:
        encoding_of(data, ["utf-8-sig", "gb18030"])  # what is no text in any encoding we know is refused as such
        raise FileRefused(
            "the file is in no dialect that is known here",
            cure="`lianfang map list` names the known ones; `lianfang map check` with one of them says what is missing",
            code="LF-FILE-UNKNOWN",
        )
    if len(names) > 1:
        raise FileRefused(
            f"the file fits several dialects equally well: {', '.join(names)}",
            cure="name the profile",
            code="LF-FILE-AMBIGUOUS",
        )
    return names[0]


def _table_score(profile: Profile, data: bytes) -> int:
    return header_score(data, profile.file.source)


_SCORES: dict[str, Callable[[Profile, bytes], int]] = {
    "csv": _table_score,
    "xml": platform.score,
    "passport": passport.score,
}
