"""SHAKEN tokens (RFC 8225, RFC 8588, ATIS-1000074): text → claims, and whether the signature holds.

Verification, for the certificate that was given; nothing is fetched, whatever x5u says:
(1) the header says ES256, passport and a type we know; (2) a certificate was given, the one that x5u names if several
are; (3) the signature verifies under its key; (4) the certificate was in force when the token was made (iat);
(5) it is signed by one of the given authorities; (6) it names what numbers its holder may use (RFC 8226 TNAuthList).
The outcome is a code, never a yes or no: a token that fails is evidence too.
"""

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from adapters.errors import FileRefused, RowRefused

TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,1024}")
TYPES = ("shaken", "div", "div-o", "rph")
_TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
_PEM = b"-----BEGIN CERTIFICATE-----"
_COMPANION_BYTES_MAX = 1 << 20
_NUMERIC = re.compile(r"[0-9]{1,11}")

VERIFIED = "verified"
UNTRUSTED = "signature_valid_certificate_untrusted"
NO_CERTIFICATE = "no_certificate_given"
BAD_SIGNATURE = "signature_bad"
BAD_ALGORITHM = "algorithm_refused"
NOT_IN_FORCE = "certificate_not_in_force"
NOT_ENTITLED = "certificate_without_tn_auth_list"
BAD_KEY = "certificate_key_unsuitable"


@dataclass(frozen=True)
class Token:
    """A token taken apart; nothing is believed yet."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What verification found, and under which certificate (SHA-256 of its DER), if one was used."""

    code: str
    certificate_sha256: bytes = b""


def take_apart(text: str) -> Token:
    """Return header and claims of a token. RowRefused when they are not JSON objects."""
    header, claims = (_json(part) for part in text.split(".")[:2])
    return Token(text, header, claims)


def _json(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), object_pairs_hook=_once)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise RowRefused(
            "the token's header or claims are not JSON",
            cure="take the token from its source again",
            code="LF-ROW-TOKEN",
        ) from error
    if not isinstance(found, dict):
        raise RowRefused(
            "the token's header or claims are no JSON object",
            cure="take the token from its source again",
            code="LF-ROW-TOKEN",
        )
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object that names each key once: of two, readers take different ones (RFC 7515 section 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def object_of(claim: Any) -> dict[str, Any]:
    """Return a claim that should be an object; some implementations write it as a text that holds one."""
    if isinstance(claim, str):
        try:
            claim = json.loads(claim)
        except (ValueError, RecursionError):
            return {}
    return claim if isinstance(claim, dict) else {}


def numbers_of(claim: Any) -> list[str]:
    """Return the telephone numbers (or addresses) of an orig, dest or div claim."""
    found = object_of(claim)
    numbers: list[str] = []
    for name in ("tn", "uri"):
        value = found.get(name)
        numbers += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str) and item]
    return numbers


def issued_at(claims: dict[str, Any]) -> str:
    """Return iat as digits, empty when it is no count of seconds."""
    text = str(claims.get("iat", ""))
    return text if _NUMERIC.fullmatch(text) else ""


def certificates(companions: Mapping[str, bytes]) -> dict[str, list[x509.Certificate]]:
    """Return the certificates in the companion files, by file. FileRefused when one cannot be read."""
    found: dict[str, list[x509.Certificate]] = {}
    for name, data in companions.items():
        try:
            der = [] if _PEM in data else [x509.load_der_x509_certificate(data[:_COMPANION_BYTES_MAX])]
            found[name] = der or x509.load_pem_x509_certificates(data[:_COMPANION_BYTES_MAX])
        except ValueError as error:
            raise FileRefused(
                "a companion file is no certificate in PEM or DER",
                cure="give the provider's certificate, and the authority's if you have it",
                code="LF-FILE-CERTIFICATE",
            ) from error
    return found


def verify(token: Token, given: Mapping[str, list[x509.Certificate]]) -> Outcome:
    """Check a token, step by step as above."""
    header = token.header
    if header.get("alg") != "ES256" or header.get("typ", "passport") != "passport":  # (1)
        return Outcome(BAD_ALGORITHM)
    if header.get("ppt") not in TYPES or "crit" in header:
        return Outcome(BAD_ALGORITHM)
    leaves = _leaves(given, str(header.get("x5u", "")))  # (2)
    if not leaves:
        return Outcome(NO_CERTIFICATE)
    signer = next((leaf for leaf in leaves if _signature_holds(token.text, leaf)), None)  # (3)
    if signer is None:
        return Outcome(BAD_SIGNATURE if _key_of(leaves[0]) else BAD_KEY, leaves[0].fingerprint(hashes.SHA256()))
    return Outcome(_standing(signer, token, given), signer.fingerprint(hashes.SHA256()))


def _standing(signer: x509.Certificate, token: Token, given: Mapping[str, list[x509.Certificate]]) -> str:
    at = issued_at(token.claims)
    if not at or not _in_force(signer, int(at)):  # (4)
        return NOT_IN_FORCE
    authorities = [one for group in given.values() for one in group if _is_authority(one)]
    if not any(_issued_by(signer, authority) and _in_force(authority, int(at)) for authority in authorities):  # (5)
        return UNTRUSTED
    names = {extension.oid for extension in signer.extensions}
    return VERIFIED if _TN_AUTH_LIST in names else NOT_ENTITLED  # (6)


def _leaves(given: Mapping[str, list[x509.Certificate]], x5u: str) -> list[x509.Certificate]:
    """Return the certificates that may have signed, the one that x5u names first."""
    try:
        named = urlsplit(x5u).path.rsplit("/", 1)[-1]
    except ValueError:  # no address: it names none of them
        named = ""
    ordered = sorted(given, key=lambda name: name != named)
    return [one for name in ordered for one in given[name] if not _is_authority(one)]


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _key_of(certificate: x509.Certificate) -> EllipticCurvePublicKey | None:
    key = certificate.public_key()
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


def _signature_holds(text: str, certificate: x509.Certificate) -> bool:
    key = _key_of(certificate)
    if key is None:
        return False
    try:
        jwt.PyJWS().decode(text, key, algorithms=["ES256"])
    except jwt.InvalidTokenError:
        return False
    return True


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _in_force(certificate: x509.Certificate, at_s: int) -> bool:
    at = dt.datetime.fromtimestamp(at_s, tz=dt.UTC)
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
