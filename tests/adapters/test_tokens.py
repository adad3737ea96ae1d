"""SHAKEN tokens: what verification finds, and that nothing is believed or fetched on the way."""

import datetime as dt
import json
import socket

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

from adapters import passport, tokens
from adapters.convert import convert
from adapters.errors import FileRefused, RowRefused
from adapters.model import HeldBack
from schemas import checks
from schemas.v1 import common_pb2, telecom_pb2
from tests.adapters.files import DEMO, SAMPLES, profile, read

IAT = 1_795_140_000
CLAIMS = {
    "attest": "C",
    "orig": {"tn": "862166660110"},
    "dest": {"tn": ["8619900000021"]},
    "iat": IAT,
    "origid": "5a1f4c8e-8f53-4a53-9c61-6f2b7c9e1d07",
}
HEADER = {"ppt": "shaken", "typ": "passport", "x5u": "https://certificates.example/leaf.pem"}
KEY, OTHER, ROOT = (generate_private_key(SECP256R1()) for _ in range(3))
TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")


def certificate(key=KEY, *, issuer_key=ROOT, authority=False, entitled=True, years=(2025, 2055)) -> bytes:
    """Return a certificate in PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root" if authority else "leaf")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(years[0], 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(years[1], 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if entitled and not authority:
        builder = builder.add_extension(x509.UnrecognizedExtension(TN_AUTH_LIST, b"\x30\x00"), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)


AUTHORITY = certificate(ROOT, authority=True)
GIVEN = {"leaf.pem": certificate(), "root.pem": AUTHORITY}


def token(claims=None, key=KEY, **header) -> str:
    """Return a signed token."""
    algorithm = header.pop("alg", "ES256")
    return jwt.api_jws.encode(
        json.dumps({**CLAIMS, **(claims or {})}).encode(), key, algorithm, headers={**HEADER, **header}
    )


def parameters(text: str) -> str:
    """Return what an Identity header says beside a token: the same as the token."""
    try:
        header = tokens.take_apart(text).header
    except RowRefused:
        header = HEADER
    return f";info=<{header.get('x5u', '')}>;alg={header.get('alg', 'ES256')};ppt={header.get('ppt', 'shaken')}"


def outcome(text: str, given: dict[str, bytes]):
    """Return the report of one token."""
    (found,) = read(f"Identity: {text}{parameters(text)}\n".encode(), "shaken-passport", given)
    return found


def test_a_token_with_its_certificate_is_verified():
    """The signature holds, the certificate was in force, the authority is given: verified, and all claims are there."""
    found = outcome(token(), GIVEN)
    report = found.message
    checks.require_valid_record(report)
    assert (report.verification.scheme, report.verification.code) == ("lianfang.passport-verification", tokens.VERIFIED)
    assert report.certificate_sha256 == x509.load_pem_x509_certificate(GIVEN["leaf.pem"]).fingerprint(hashes.SHA256())
    assert report.presented_number.e164 == "+862166660110"
    assert not report.presented_number.region_assumed
    assert [number.e164 for number in report.called_numbers] == ["+8619900000021"]
    assert report.attestation == telecom_pb2.ATTESTATION_C
    assert (report.issued_at.utc_ms, report.issued_at.zone_source) == (IAT * 1000, common_pb2.ZONE_SOURCE_VALUE)
    assert report.origination_id == CLAIMS["origid"]
    assert report.passport_raw.endswith(";alg=ES256;ppt=shaken")
    assert not report.passport_raw.startswith("Identity")
    assert found.warnings == ()


def _flipped(text: str) -> str:
    head, claims, signature = text.split(".")
    return f"{head}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


FINDINGS = [
    ("no certificate is given", token(), {}, tokens.NO_CERTIFICATE),
    ("only an authority is given", token(), {"root.pem": AUTHORITY}, tokens.NO_CERTIFICATE),
    ("the authority is not given", token(), {"leaf.pem": certificate()}, tokens.UNTRUSTED),
    (
        "another authority is given",
        token(),
        {"leaf.pem": certificate(), "root.pem": certificate(OTHER, issuer_key=OTHER, authority=True)},
        tokens.UNTRUSTED,
    ),
    ("a bit of the signature is flipped", _flipped(token()), GIVEN, tokens.BAD_SIGNATURE),
    ("another key has signed", token(key=OTHER), GIVEN, tokens.BAD_SIGNATURE),
    ("the claims are another token's", token({"attest": "A"}).rsplit(".", 1)[0] + "." + token().rsplit(".", 1)[1], GIVEN, tokens.BAD_SIGNATURE),
    ("it is older than the certificate", token({"iat": 1_600_000_000}), GIVEN, tokens.NOT_IN_FORCE),
    ("it has no time", token({"iat": "soon"}), GIVEN, tokens.NOT_IN_FORCE),
    ("the time is beyond all calendars", token({"iat": 999_999_999_999}), GIVEN, tokens.NOT_IN_FORCE),
    ("the certificate has run out", token(), {"a": certificate(years=(2001, 2002)), "b": AUTHORITY}, tokens.NOT_IN_FORCE),
    ("the holder may use no number", token(), {"a": certificate(entitled=False), "b": AUTHORITY}, tokens.NOT_ENTITLED),
    ("the certificate has another curve", token(), {"a": certificate(generate_private_key(SECP384R1()))}, tokens.BAD_KEY),
    ("it is signed with a shared secret", token(alg="HS256", key=b"k" * 32), GIVEN, tokens.BAD_ALGORITHM),
    ("it is not signed", token(alg="none", key=None) + "AAAAAAAAAAAA", GIVEN, tokens.BAD_ALGORITHM),
    ("it is another kind of token", token(typ="JWT"), GIVEN, tokens.BAD_ALGORITHM),
    ("it has an extension nobody knows", token(ppt="unknown"), GIVEN, tokens.BAD_ALGORITHM),
]  # fmt: skip


@pytest.mark.parametrize(("text", "given", "code"), [row[1:] for row in FINDINGS], ids=[row[0] for row in FINDINGS])
def test_every_failure_has_its_own_code(text, given, code):
    """A token that fails is evidence too: it is reported, with what failed, and with a warning."""
    found = outcome(text, given)
    assert not isinstance(found, HeldBack), found
    assert found.message.verification.code == code
    assert [warning.code for warning in found.warnings if warning.code == "token_not_verified"]


def test_the_certificate_that_x5u_names_is_tried_first():
    """Several certificates may be given; the one that signed is found, whatever the files are called."""
    given = {"other.pem": certificate(OTHER), **GIVEN}
    assert outcome(token(), given).message.verification.code == tokens.VERIFIED
    assert outcome(token(key=OTHER), given).message.verification.code == tokens.VERIFIED


def test_a_public_key_is_no_shared_secret():
    """A token signed with HMAC over the certificate, the old trick, is not accepted."""
    trick = jwt.api_jws.encode(json.dumps(CLAIMS).encode(), b"x" * 64, "HS256", headers={**HEADER, "alg": "HS256"})
    assert outcome(trick, GIVEN).message.verification.code == tokens.BAD_ALGORITHM


def test_an_rsa_certificate_verifies_nothing():
    """A certificate with a key of another kind is named as unsuitable."""
    key = rsa.generate_private_key(65537, 2048)
    assert outcome(token(), {"a": certificate(key)}).message.verification.code == tokens.BAD_KEY


def test_nothing_is_fetched(monkeypatch):
    """Whatever x5u says, no connection is opened."""
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a connection was opened"))
    assert outcome(token(), {}).message.verification.code == tokens.NO_CERTIFICATE


def test_claims_written_otherwise_are_read_and_named():
    """JSON inside a text, a single tn instead of a list, iat as a text, a diversion, an address: read, with warnings."""
    claims = {"orig": '{"tn":"862166660110"}', "dest": {"tn": "8619900000021", "uri": ["sip:bob@example.com"]}, "iat": str(IAT), "div": {"tn": "8619900000022"}}  # fmt: skip
    found = outcome(token(claims, ppt="div"), GIVEN)
    assert found.message.presented_number.e164 == "+862166660110"
    assert [(number.e164, number.raw) for number in found.message.called_numbers] == [
        ("+8619900000021", "8619900000021"),
        ("", "sip:bob@example.com"),
    ]
    assert [number.e164 for number in found.message.diversions] == ["+8619900000022"]
    assert [warning.field for warning in found.warnings] == ["presented_number", "issued_at"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (token({"orig": {}}), "LF-ROW-MISSING"),
        (token({"attest": "D"}), "LF-ROW-CODE"),
        ("eyJhbGciOiJFUzI1NiJ9AA.eyJhIjoxfQAAAAAA.AAAAAAAAAAAA", "LF-ROW-TOKEN"),
        ("eyJhbGciOiJFUzI1NiJ9.WzEsMiwzLDQsNV0.AAAAAAAAAAAA", "LF-ROW-TOKEN"),
    ],
)
def test_a_token_that_says_nothing_is_held_back(text, code):
    """Without a number shown, with an attestation that is none, or with no JSON inside, there is nothing to report."""
    found = outcome(text, GIVEN)
    assert isinstance(found, HeldBack)
    assert found.code == code


@pytest.mark.parametrize(("data", "code"), [(b"no token here", "LF-FILE-NO-TOKEN"), (b"", "LF-FILE-NO-TOKEN"), (b"x" * (17 << 20), "LF-FILE-SIZE")])  # fmt: skip
def test_a_file_without_tokens_is_refused(data, code):
    """A file of another kind, or beyond all measure, is refused whole."""
    with pytest.raises(FileRefused) as error:
        convert(profile("shaken-passport"), data)
    assert error.value.code == code


def test_a_companion_that_is_no_certificate_is_refused():
    """What is given as a certificate must be one."""
    with pytest.raises(FileRefused) as error:
        convert(profile("shaken-passport"), token().encode(), {"x": b"hello"})
    assert error.value.code == "LF-FILE-CERTIFICATE"


def test_each_line_is_a_record():
    """Tokens stand one a line; a broken one costs its own line."""
    data = f"call 1\n{token()}\nIdentity: {_flipped(token())};x\neyJhbGciOiJFUzI1NiJ9AA.eyJhIjoxfQAAAAAA.AAAAAAAAAAAA\n".encode()
    found = read(data, "shaken-passport", GIVEN)
    assert [(item.record, item.line) for item in found] == [(1, 2), (2, 3), (3, 4)]
    assert [isinstance(item, HeldBack) for item in found] == [False, False, True]


def test_a_line_may_hold_several_tokens():
    """Identity headers are also written on one line; each token is a record with its own parameters, and none is lost."""
    first, second = token(), token({"attest": "A"})
    data = f"Identity: {first}{parameters(first)}, {second}{parameters(second)}\n".encode()
    found = read(data, "shaken-passport", GIVEN)
    assert [item.message.attestation for item in found] == [telecom_pb2.ATTESTATION_C, telecom_pb2.ATTESTATION_A]
    assert [item.message.passport_raw for item in found] == [f"{text}{parameters(text)}" for text in (first, second)]
    assert b"".join(item.raw for item in found) == data
    assert all(item.warnings == () for item in found)


@pytest.mark.parametrize("broken", ["..c2ln;info=<https://x.example/a.pem>;alg=ES256;ppt=shaken", "eyJhbGci;x", ""])
def test_a_header_without_a_whole_token_is_held_back(broken):
    """The compact form leaves header and claims out; that, or a cut token, is no reason to lose the line."""
    found = read(f"{token()}\nidentity: {broken}\n".encode(), "shaken-passport", GIVEN)
    assert [(item.line, isinstance(item, HeldBack)) for item in found] == [(1, False), (2, True)]
    assert found[1].code == "LF-ROW-TOKEN"


@pytest.mark.parametrize(
    ("said", "warned"),
    [
        (";info=<https://other.example/leaf.pem>;alg=ES256;ppt=shaken", ["info"]),
        (";alg=HS256", ["alg"]),
        (';ppt="div";info=<https://certificates.example/leaf.pem>', ["ppt"]),
        ("", []),
    ],
)
def test_a_header_that_says_other_than_its_token_is_noted(said, warned):
    """Parameters beside the token must repeat what it says (RFC 8224 section 4); the token itself is what is verified."""
    (found,) = read(f"Identity: {token()}{said}\n".encode(), "shaken-passport", GIVEN)
    assert found.message.verification.code == tokens.VERIFIED
    assert [warning.cause.split()[2] for warning in found.warnings if warning.code == "parameter_differs"] == warned


def test_a_key_that_stands_twice_is_no_claim():
    """Of two claims of one name readers take different ones: such a token is held back, whatever its signature says."""
    claims = json.dumps(CLAIMS)[:-1] + ', "attest": "A"}'
    text = jwt.api_jws.encode(claims.encode(), KEY, "ES256", headers=HEADER)
    found = outcome(text, GIVEN)
    assert isinstance(found, HeldBack)
    assert found.code == "LF-ROW-TOKEN"


@pytest.mark.parametrize(("count", "refused"), [(3, False), (4, True)])
def test_tokens_of_a_file_have_a_limit(monkeypatch, count, refused):
    """A file with as many tokens as may be is read, one with another is refused whole, on one line or on many."""
    monkeypatch.setattr(passport, "TOKENS_MAX", 3)
    for mark in (" ", "\n"):
        data = mark.join([token()] * count).encode()
        if refused:
            with pytest.raises(FileRefused) as error:
                read(data, "shaken-passport", GIVEN)
            assert error.value.code == "LF-FILE-SIZE"
        else:
            assert len(read(data, "shaken-passport", GIVEN)) == count


def test_the_demos_token_verifies():
    """The file of the demonstration verifies under its certificate and authority."""
    given = {name: (DEMO / f"telecom-c-passport-{name}.pem").read_bytes() for name in ("cert", "ca")}
    (found,) = read((DEMO / "telecom-c-passport.txt").read_bytes(), "shaken-passport", given)
    assert found.message.verification.code == tokens.VERIFIED
    given.pop("ca")
    (found,) = read((DEMO / "telecom-c-passport.txt").read_bytes(), "shaken-passport", given)
    assert found.message.verification.code == tokens.UNTRUSTED


def test_a_token_of_another_implementation_verifies():
    """The tokens that libstirshaken made verify under its certificate, though their claims are texts."""
    folder = SAMPLES / "stir-passport"
    if not folder.exists():
        pytest.skip("the samples are not on this machine")
    given = {name: (folder / name).read_bytes() for name in ("sp.pem", "ca.pem")}
    found = read((folder / "passport.txt").read_bytes(), "shaken-passport", given)
    assert [item.message.verification.code for item in found] == [tokens.VERIFIED] * 2


def test_an_address_that_is_none_names_no_certificate():
    """A token whose x5u is no address is verified with the certificates given; it does not end the reading of its file."""
    outcome = tokens.verify(tokens.take_apart(token(x5u="https://[")), tokens.certificates(GIVEN))
    assert outcome.code == tokens.VERIFIED
