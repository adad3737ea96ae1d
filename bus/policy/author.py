"""Making a bundle's body from a directory of files. Signing is another act, by two agencies."""

from pathlib import Path

from bus.policy.bundle import Bundle
from bus.policy.errors import PolicyError
from bus.policy.files import NAMES, OPTIONAL
from bus.policy.vocabulary import descriptors_sha256
from schemas.v1 import federation_pb2

_FILE_BYTES_MAX = 256 * 1024


def build_body(directory: Path, serial: int, previous: bytes, not_before_ms: int, not_after_ms: int) -> bytes:
    """Return a body that would load: files read, words checked, golden decisions run. PolicyError otherwise.

    `previous` is the SHA-256 of the predecessor's body, empty for the first.
    """
    if serial < 1 or not_after_ms <= not_before_ms:
        raise PolicyError(
            "serial or validity make no sense", code="FORM", cure="serial from 1; the end after the start"
        )
    names = sorted([*NAMES, *(name for name in OPTIONAL if (directory / name).exists())])
    body = federation_pb2.PolicyBundleBody(
        serial=serial,
        previous_sha256=previous,
        not_before_ms=not_before_ms,
        not_after_ms=not_after_ms,
        descriptors_sha256=descriptors_sha256(),
        files=[federation_pb2.PolicyFile(name=name, content=_read(directory / name)) for name in names],
    )
    Bundle(body, b"")
    return body.SerializeToString(deterministic=True)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        raise PolicyError(
            f"{path.name} cannot be read", code="FILES", cure=f"a bundle holds {', '.join(NAMES)}"
        ) from None
    if len(content) > _FILE_BYTES_MAX:
        raise PolicyError(f"{path.name} is larger than {_FILE_BYTES_MAX} bytes", code="FILES", cure="split the policy")
    return content
