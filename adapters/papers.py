"""Papers that travel inside a record: base64 → Attachment, and back.

What a paper is comes from the first characters of its name, as the dialect has it; its media type from its content. The
name is never used as a path.
"""

import base64
from hashlib import sha256
from typing import Any

from adapters.kinds import Notes, Read, Setting, refuse
from adapters.model import RowWarning
from schemas.v1 import common_pb2

PAPER_BYTES_MAX = 262_144
_NAME_BYTES_MAX = 255
_SIGNATURES = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"PK\x03\x04", "application/zip"),
)
UNKNOWN = "application/octet-stream"


def media_type(content: bytes) -> str:
    """Return the media type that a paper's first bytes show."""
    return next((name for mark, name in _SIGNATURES if content.startswith(mark)), UNKNOWN)


def read_paper(setting: Setting) -> Read:
    """An Attachment from a name and base64, joined by U+0002, which neither can hold."""
    prefixes = setting.verbs.parse.prefixes
    numbers = {prefix: common_pb2.AttachmentKind.Value(name) for prefix, name in prefixes.items()}
    path = setting.path

    def read(text: str, notes: Notes) -> dict[str, Any]:
        name, _, encoded = text.partition("\u0002")
        try:
            content = base64.b64decode("".join(encoded.split()), validate=True)
        except ValueError as error:  # binascii.Error is one; letters beyond ASCII are another
            raise refuse(("LF-ROW-PAPER", "holds a paper that is not base64", "attach it again")) from error
        if not content:
            raise refuse(("LF-ROW-PAPER", "holds an empty paper", "attach it again"))
        if len(content) > PAPER_BYTES_MAX:
            raise refuse(
                ("LF-ROW-PAPER-SIZE", f"holds a paper of more than {PAPER_BYTES_MAX} bytes", "scan it smaller")
            )
        bare = name.replace("\\", "/").rsplit("/", 1)[-1]
        if bare != name:
            notes.append(RowWarning("paper_name_path", path, "the paper's name held a path; the last part is kept"))
        kind = next((number for prefix, number in numbers.items() if bare.startswith(prefix)), None)
        if kind is None:
            notes.append(RowWarning("paper_kind_unknown", path, "the paper's name does not say what it is"))
        found = media_type(content)
        if found == UNKNOWN:
            notes.append(RowWarning("paper_type_unknown", path, "the paper's content is of no known type"))
        return {
            "kind": common_pb2.ATTACHMENT_KIND_OTHER if kind is None else kind,
            "sha256": sha256(content).digest(),
            "media_type": found,
            "filename": bare.encode()[:_NAME_BYTES_MAX].decode(errors="ignore"),
            "content": content,
        }

    return read


def paper_names(text: str) -> str:
    """Return the names of the papers alone: what lineage keeps, for the papers themselves are in the message."""
    return ", ".join(paper.partition("\u0002")[0] for paper in text.split("\u0003"))
