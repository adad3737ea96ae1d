"""Files of SHAKEN tokens → reports of spoofed calls. A record is a token, bare or in an Identity header (RFC 8224).

A line may hold several tokens, each with its parameters. A line that is an Identity header without a whole token (the compact
form of RFC 8225 section 7, or a damaged one) is a record too, and is held back: what it vouches for cannot be read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from cryptography.x509 import Certificate

from adapters import tokens
from adapters.errors import FileRefused, RowRefused
from adapters.model import Converted, Fit, HeldBack, Lineage, RowWarning
from adapters.plan import Plan, compile_plan
from adapters.profile import Profile
from adapters.provenance import held_back, origin

COLUMNS = ("token", "ppt", "attest", "orig", "dest", "div", "iat", "origid", "verification", "certificate_sha256")
LIST_MARK = "\u0003"
FILE_BYTES_MAX = 16 * 1024 * 1024
TOKENS_MAX = 10_000
_HEADER_NAME = "identity:"
_PARAMETER = re.compile(r";\s*([A-Za-z]+)\s*=\s*(<[^>]*>|\"[^\"]*\"|[^;,\s]*)")


@dataclass(frozen=True)
class _Line:
    """A line with a token, or the part of a line with one of several: the whole of it is the evidence."""

    number: int
    raw: bytes
    evidence: str
    token: str
    """Empty for an Identity header without one."""
    start: int
    """First byte of `raw` in the file."""

    def ranges(self) -> list[tuple[int, int]]:
        """Return where what is taken out stands: the evidence, and the parts of the token in which the header and the claims are.

        The outcome of the check of the signature stands nowhere in the file, and the certificate in another one.
        """
        evidence = self.start + max(0, self.raw.find(self.evidence.encode("ascii", errors="replace")))
        header = self.start + self.raw.index(self.token.encode())
        claims = header + self.token.index(".") + 1
        in_header, in_claims = (header, claims - 1), (claims, header + self.token.rindex("."))
        nowhere = (-1, -1)
        return [(evidence, evidence + len(self.evidence)), in_header, *[in_claims] * 6, nowhere, nowhere]


def read(profile: Profile, data: bytes, companions: Mapping[str, bytes]) -> Iterator[Converted | HeldBack]:
    """Read every token of a file and verify each with the certificates among the companions."""
    lines = _lines(data)
    if not lines:
        raise FileRefused(
            "the file holds no token", cure="give the Identity header or the token of the call", code="LF-FILE-NO-TOKEN"
        )
    given = tokens.certificates(companions)
    assert profile.file.target is not None, "checked with the profile"
    columns = {name: place for place, name in enumerate(COLUMNS)}
    plan = compile_plan(profile, profile.file.target.message, profile.file.field, columns, COLUMNS)
    return _rows(profile, plan, lines, given, data)


def cells_of(raw: bytes, companions: Mapping[str, bytes]) -> dict[str, str]:
    """Return what is taken out of one line with a token, by the names that a profile uses."""
    line = _lines(raw)[0]
    try:
        return dict(zip(COLUMNS, _cells(line, tokens.certificates(companions), []), strict=True))
    except RowRefused:
        return {COLUMNS[0]: line.evidence}


def fit(profile: Profile, data: bytes) -> Fit | None:
    """Say whether a file is one of tokens: one whose header says so is enough."""
    if len(data) > FILE_BYTES_MAX or tokens.TOKEN.search(data) is None:
        return None
    for line in _lines(data):
        if not line.token:
            continue
        try:
            kind = tokens.take_apart(line.token).header.get("ppt")
        except RowRefused:
            continue
        if kind in tokens.TYPES:
            return Fit(profile.name, 900, 1.0, (f"line {line.number} holds a token of the type {kind} (RFC 8225)",))
    return None


def _lines(data: bytes) -> list[_Line]:
    if len(data) > FILE_BYTES_MAX:
        raise FileRefused(f"the file has more than {FILE_BYTES_MAX} bytes", cure="split it", code="LF-FILE-SIZE")
    found: list[_Line] = []
    at = 0
    for number, raw in enumerate(data.splitlines(keepends=True), 1):
        tokens_found = list(tokens.TOKEN.finditer(raw))
        starts = [0, *(match.start() for match in tokens_found[1:]), len(raw)]
        for match, start, end in zip(tokens_found, starts, starts[1:], strict=False):
            found.append(_Line(number, raw[start:end], _evidence(raw[start:end]), match[0].decode("ascii"), at + start))
        if not tokens_found and raw[: len(_HEADER_NAME)].lower() == _HEADER_NAME.encode():
            found.append(_Line(number, raw, _evidence(raw), "", at))
        at += len(raw)
        if len(found) > TOKENS_MAX:
            raise FileRefused(f"the file has more than {TOKENS_MAX} tokens", cure="split it", code="LF-FILE-SIZE")
    return found


def _evidence(raw: bytes) -> str:
    text = raw.decode("ascii", errors="backslashreplace").strip()
    text = text[len(_HEADER_NAME) :].strip() if text.lower().startswith(_HEADER_NAME) else text
    return text.rstrip(", ")


def _rows(
    profile: Profile, plan: Plan, lines: list[_Line], given: Mapping[str, list[Certificate]], data: bytes
) -> Iterator[Converted | HeldBack]:
    base = origin(profile, data)
    for record, line in enumerate(lines, 1):
        notes: list[RowWarning] = []
        try:
            cells = _cells(line, given, notes)
            values = plan.values(cells, notes)
        except RowRefused as error:
            yield held_back(error, record, line.number, line.raw)
            continue
        codes = list(dict.fromkeys(note.code for note in notes))
        values["provenance"] = {**base, "record": record, "line": line.number, "warnings": codes}
        trace = partial(_lineage, plan, cells, record, line)
        yield Converted(plan.message(**values), record, line.number, line.raw, tuple(notes), trace)


def _lineage(plan: Plan, cells: list[str], record: int, line: _Line) -> tuple[Lineage, ...]:
    found = plan.lineage(cells, record, line.number, line.ranges())
    return tuple(item._replace(raw=item.raw.replace(LIST_MARK, ", ")) for item in found)


_HINT = {
    tokens.NO_CERTIFICATE: ": the companion files hold no provider's certificate",
    tokens.UNTRUSTED: ": the companion files hold no authority that issued the provider's certificate",
}
"""What helps, where a file that was not given would."""


_NOT_WHOLE = "the Identity header holds no whole token: it is damaged, or of the compact form, which leaves out what it vouches for"


def _cells(line: _Line, given: Mapping[str, list[Certificate]], notes: list[RowWarning]) -> list[str]:
    if not line.token:
        raise RowRefused(_NOT_WHOLE, cure="have the provider give the full form", code="LF-ROW-TOKEN")
    token = tokens.take_apart(line.token)
    notes += _differing(line, token)
    outcome = tokens.verify(token, given)
    claims = token.claims
    notes += [
        RowWarning("claim_as_text", path, f"the claim {name} is a text that holds JSON (RFC 8225 section 5.2.1)")
        for name, path in (("orig", "presented_number"), ("dest", "called_numbers"), ("div", "diversions"))
        if isinstance(claims.get(name), str)
    ]
    if not isinstance(claims.get("iat"), int):
        notes.append(RowWarning("claim_as_text", "issued_at", "the claim iat is not a number (RFC 8225 5.1.1)"))
    if outcome.code != tokens.VERIFIED:
        why = f"verification ended with {outcome.code}{_HINT.get(outcome.code, '')}"
        notes.append(RowWarning("token_not_verified", "verification", why))
    return [
        line.evidence,
        str(token.header.get("ppt", "")),
        str(claims.get("attest", "")),
        next(iter(tokens.numbers_of(claims.get("orig"))), ""),
        LIST_MARK.join(tokens.numbers_of(claims.get("dest"))),
        LIST_MARK.join(tokens.numbers_of(claims.get("div"))),
        tokens.issued_at(claims),
        str(claims.get("origid", "")),
        outcome.code,
        outcome.certificate_sha256.hex(),
    ]


def _differing(line: _Line, token: tokens.Token) -> list[RowWarning]:
    """Return a warning for each parameter of the Identity header that says other than the token (RFC 8224 section 4)."""
    behind = line.evidence.partition(line.token)[2]
    said = {name.lower(): text.strip('<>"') for name, text in _PARAMETER.findall(behind)}
    return [
        RowWarning(
            "parameter_differs", "passport_raw", f"the parameter {name} of the header differs from the token's {claim}"
        )
        for name, claim in (("alg", "alg"), ("ppt", "ppt"), ("info", "x5u"))
        if name in said and said[name] != str(token.header.get(claim, said[name]))
    ]
