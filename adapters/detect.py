"""Which dialect a file is in, by its content, never by its name: `identify` says how sure and why, `detect` only which.

- A table is known by its header line: all columns that the dialect requires, and as many of the others as it has.
- A tree (XML, JSON and their kin) is known by where its records stand, their code and namespace, and how many paths have
  text; a file of tokens by the type in their header.
- A workbook of failing rows says of which dialect they are, and is that where it has the dialect's header.
- What fits several dialects equally well fits none: somebody must say which.
"""

from collections.abc import Callable
from dataclasses import dataclass

from adapters import table
from adapters.beginning import beginning_of
from adapters.catalogue import profiles
from adapters.decode import encoding_of
from adapters.errors import FileRefused
from adapters.model import Fit
from adapters.papers import UNKNOWN, media_type
from adapters.profile import Profile
from adapters.readers import READERS
from adapters.source_file import Given
from adapters.tree_fit import Looks
from adapters.workbook import Opened

_ARCHIVE = "application/zip"
_TABLES = ("csv", "xlsx")
_TOKENS = "passport"
_TOKEN_BEGINS = b"eyJ"
"""How every token begins: base64url of an opening brace and a quotation mark."""


@dataclass(frozen=True)
class Identified:
    """What a file is found to be."""

    fits: tuple[Fit, ...]
    """Every dialect that can read it, the best first."""
    refused: FileRefused | None
    """Why none was chosen; None when `fits[0]` is the one."""

    @property
    def chosen(self) -> Fit | None:
        """The dialect that the file is in; None when there is none, or no telling."""
        return None if self.refused else self.fits[0]


def detect(data: bytes) -> str:
    """Return the name of the profile that fits a file. FileRefused when none does, or several do equally well."""
    found = identify_beginning(data) or identify(data)
    if found.refused is not None:
        raise found.refused
    return found.fits[0].profile


def identify_beginning(given: Given) -> Identified | None:
    """Say what a large XML or JSON file fits by its beginning; None where that does not tell, or it is another file."""
    beginning = beginning_of(given)
    found = identify(beginning) if beginning is not None else None
    return found if found is not None and found.chosen is not None else None


def identify(data: bytes) -> Identified:
    """Compare a file with every profile, and say what it fits and why."""
    looks, opened = Looks(data), Opened(data)
    found = []
    for name in profiles():
        form = profiles().format_of(name)
        if not _may_be(form, data):
            continue
        profile = profiles().unchecked(name)
        fit = _FITS.get(form)
        if form == "xlsx" or (opened.ours and _has_header(profile)):
            found.append(opened.fit(profile))
        else:
            found.append(fit(profile, data) if fit is not None else looks.fit(profile))
    fits = tuple(sorted((fit for fit in found if fit), key=lambda fit: (-fit.score, fit.profile)))
    refused = looks.refused or opened.refused
    if not fits and refused is not None:
        return Identified((), refused)
    if opened.stated[0] in profiles():
        return _as_stated(fits, *opened.stated)
    return Identified(fits, _why_none(data, fits, opened) or _two_in_one(data, fits))


def _may_be(form: str, data: bytes) -> bool:
    """Say whether a file may be in a format at all: most profiles need not even be read to know that theirs it is not."""
    return READERS[form].seems(data) if form in READERS else form != _TOKENS or _TOKEN_BEGINS in data


def _has_header(profile: Profile) -> bool:
    source = profile.file.source
    return source.format == "csv" and source.header is not None and not source.header.looks


def _as_stated(fits: tuple[Fit, ...], name: str, version: str) -> Identified:
    """Choose the dialect whose failing rows a workbook says that it holds, where it also has that dialect's header."""
    stated = next((fit for fit in fits if fit.profile == name), None)
    if stated is None:
        refused = FileRefused(
            f"the workbook says that it holds failing rows of {name}, and has not its header",
            cure="put the header line back as it was, or name the profile",
            code="LF-FILE-NO-HEADER",
        )
        return Identified(fits, refused)
    now = profiles().unchecked(name).version
    since = "" if version == now else f"; the profile is of version {now} now"
    why = (f"it says that it holds failing rows of {name} {version}{since}", *stated.why)
    return Identified((stated._replace(why=why), *(fit for fit in fits if fit is not stated)), None)


def _two_in_one(data: bytes, fits: tuple[Fit, ...]) -> FileRefused | None:
    """Refuse a table that begins as something else: what stands above its header would be passed over as a preamble."""
    if profiles().format_of(fits[0].profile) not in _TABLES:
        return None
    begins = next((name for name, tree in READERS.items() if tree.seems(data)), None)
    if begins is None:
        return None
    return FileRefused(
        f"the file begins as {begins} and has a table of {fits[0].profile} further down: two files in one",
        cure="cut it in two; to read the table alone all the same, name the profile",
        code="LF-FILE-TWO",
    )


def _why_none(data: bytes, fits: tuple[Fit, ...], opened: Opened) -> FileRefused | None:
    best = [fit.profile for fit in fits if fit.score == fits[0].score]
    if len(best) == 1:
        return None
    if best:
        return FileRefused(
            f"the file fits several dialects equally well: {', '.join(best)}",
            cure="name the profile",
            code="LF-FILE-AMBIGUOUS",
        )
    kind = media_type(data)
    if kind in (UNKNOWN, _ARCHIVE) and not opened.sheets:
        try:
            encoding_of(data, ["utf-8-sig", "gb18030"])
        except FileRefused as error:
            return error  # what is no text in any encoding we know is refused as such
    seems = "" if kind == UNKNOWN else f"; by its first bytes it is {kind}"
    return FileRefused(
        f"the file is in no dialect that is known here{seems}",
        cure="`lianfang map list` names the known ones; `lianfang map check` with one of them says what is missing",
        code="LF-FILE-UNKNOWN",
    )


def _fit_tokens(profile: Profile, data: bytes) -> Fit | None:
    from adapters import passport  # noqa: PLC0415 - lazy: what reads tokens is slow to load

    return passport.fit(profile, data)


_FITS: dict[str, Callable[[Profile, bytes], Fit | None]] = {
    "csv": table.fit,
    _TOKENS: _fit_tokens,
}
