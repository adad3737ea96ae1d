"""The private bus's certificate authority, in one folder: who may connect to the broker, and as whom.

- One authority for the bus, because any authority a broker trusts can issue any name. It has nothing to do with the keys
  that sign and open messages: a stolen transport certificate forges no message.
- An agency is the one DNS name in its certificate's subject alternative name (RFC 5280 section 4.2.1.6); the subject is
  not looked at. The certificate is for clients only, the broker's for servers only.
- Revocation is a CRL that the broker reads at each handshake; without a current one nobody can connect.
- Keys are P-256 in files of their owner alone.
"""

import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bus.transport.topology import check_agency

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
"""A certificate or revocation list with less than this left is made anew when its folder is opened."""

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_CLOCK_SLACK = timedelta(minutes=5)


@dataclass(frozen=True)
class Identity:
    """The three files that prove an identity: the authority's certificate, the own certificate and its key."""

    authority: Path
    certificate: Path
    key: Path


class Authority:
    """The certificate authority in `directory`. Make one with `Authority.open`."""

    def __init__(self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.directory = directory
        self._certificate = certificate
        self._key = key

    @classmethod
    def open(cls, directory: Path) -> "Authority":
        """Open the authority in `directory`, making it, or making it anew when it is about to expire."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate_file, key_file = directory / "ca.pem", directory / "ca.key"
        if not (certificate_file.exists() and key_file.exists()) or _expires_soon(certificate_file):
            for stale in ("crl", "server", "agencies"):
                shutil.rmtree(directory / stale, ignore_errors=True)
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _self_signed(key)
            _write_owner_only(key_file, _key_pem(key))
            _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        authority = cls(directory, x509.load_pem_x509_certificate(certificate_file.read_bytes()), loaded)
        if authority._list_expires_soon():
            authority._publish_revoked(authority._revoked())
        return authority

    @property
    def certificate_file(self) -> Path:
        """The authority's certificate, which everybody trusts."""
        return self.directory / "ca.pem"

    @property
    def revocation_directory(self) -> Path:
        """The folder of the revocation list, named as OpenSSL and Erlang look it up."""
        return self.directory / "crl"

    def server(self) -> Identity:
        """Return the broker's identity, for localhost and 127.0.0.1."""
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        return self._current(self.directory / "server", "broker", names, SERVER)

    def agency(self, name: str) -> Identity:
        """Return an agency's identity, issuing it when there is none or it is about to expire."""
        check_agency(name)
        return self._current(self.directory / "agencies" / name, name, [x509.DNSName(name)], CLIENT)

    def install(self, name: str, node_directory: Path) -> None:
        """Copy an agency's identity to where its node looks for it: tls/ca.pem, tls/cert.pem and tls/key.pem."""
        identity, target = self.agency(name), node_directory / "tls"
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(target / "ca.pem", identity.authority.read_bytes())
        _write(target / "cert.pem", identity.certificate.read_bytes())
        _write_owner_only(target / "key.pem", identity.key.read_bytes())

    def revoke(self, name: str) -> None:
        """Revoke an agency's certificate. An open connection lives on until the broker is told to close it."""
        folder = self.directory / "agencies" / name
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        self._publish_revoked(self._revoked() | {certificate.serial_number})
        shutil.rmtree(folder)

    def issue(
        self,
        directory: Path,
        subject: str,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        validity: tuple[datetime, datetime] | None = None,
    ) -> Identity:
        """Issue one certificate into `directory`. `validity` is from and until; by default from now for a year."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        start, end = validity or (datetime.now(UTC) - _CLOCK_SLACK, datetime.now(UTC) + LEAF_LIFETIME)
        key = ec.generate_private_key(ec.SECP256R1())
        issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer_key_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        identity = Identity(self.certificate_file, directory / "cert.pem", directory / "key.pem")
        _write_owner_only(identity.key, _key_pem(key))
        _write(identity.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return identity

    def _current(
        self, directory: Path, subject: str, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier
    ) -> Identity:
        identity = Identity(self.certificate_file, directory / "cert.pem", directory / "key.pem")
        if identity.certificate.exists() and identity.key.exists() and not _expires_soon(identity.certificate):
            return identity
        return self.issue(directory, subject, names, usage)

    def _crl_file(self) -> Path:
        return self.revocation_directory / f"{name_hash(self._certificate.subject)}.r0"

    def _list_expires_soon(self) -> bool:
        file = self._crl_file()
        if not file.exists():
            return True
        until = x509.load_pem_x509_crl(file.read_bytes()).next_update_utc
        return until is None or until < datetime.now(UTC) + RENEW_BEFORE

    def _revoked(self) -> set[int]:
        file = self._crl_file()
        if not file.exists():
            return set()
        return {entry.serial_number for entry in x509.load_pem_x509_crl(file.read_bytes())}

    def _publish_revoked(self, serials: set[int]) -> None:
        """Write the whole list anew; the broker sees either the old file or the new one."""
        self.revocation_directory.mkdir(exist_ok=True, mode=0o700)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - _CLOCK_SLACK)
            .next_update(now + LEAF_LIFETIME)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for serial in sorted(serials):
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(entry)
        crl = builder.sign(self._key, hashes.SHA256())
        _write(self._crl_file(), crl.public_bytes(serialization.Encoding.PEM))


def name_hash(name: x509.Name) -> str:
    """Return the hash under which OpenSSL and Erlang look up a certificate or list in a folder (X509_NAME_hash).

    SHA-1 over the name's canonical form: each value in lower case, white space collapsed, as UTF8String; the first four
    bytes, read as a little-endian number. It names a file and protects nothing.
    """
    canonical = b""
    for relative in name.rdns:
        pairs = b""
        for attribute in relative:
            text = " ".join(str(attribute.value).lower().split()).encode()
            value = _der(0x0C, text)
            oid = x509.Name([x509.NameAttribute(attribute.oid, "XX")]).public_bytes()
            start = oid.index(b"\x06")
            pairs += _der(0x30, oid[start : start + 2 + oid[start + 1]] + value)
        canonical += _der(0x31, pairs)
    return f"{int.from_bytes(sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80, "a name of this authority is short"  # noqa: PLR2004 - DER's short length form
    return bytes([tag, len(content)]) + content


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now, name = datetime.now(UTC), _name("lianfang private bus")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _expires_soon(certificate_file: Path) -> bool:
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    return certificate.not_valid_after_utc < datetime.now(UTC) + RENEW_BEFORE


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_owner_only(path: Path, content: bytes) -> None:
    _replace(path, content, 0o600)


def _write(path: Path, content: bytes) -> None:
    _replace(path, content, 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Put a whole file in place at once, with its mode from the first byte on."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    partial.replace(path)
