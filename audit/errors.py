"""What can be wrong with a log.

AuditError
├── AuditUnavailable   no durable append in time: refuse the request, try again later
├── CommitUnknown      the commit was reported failed and may have happened; repeating the same request is safe
├── LogFrozen          the database is not an extension of its own last checkpoint: restored or changed
├── ForkDetected       a log showed two histories; carries both signed notes
├── LeafRefused        bytes that are no leaf
└── NoteRefused        a checkpoint, cosignature or proof that does not verify
"""


class AuditError(Exception):
    """Something is wrong with a log."""

    code = "LF-AUDIT"

    def __init__(self, cause: str, *, cure: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure


class AuditUnavailable(AuditError):
    """No durable append in time."""

    code = "LF-AUDIT-UNAVAILABLE"


class CommitUnknown(AuditError):
    """A commit was reported failed and may have happened."""

    code = "LF-AUDIT-COMMIT-UNKNOWN"


class LogFrozen(AuditError):
    """The stored log does not extend its own last checkpoint."""

    code = "LF-AUDIT-FROZEN"


class ForkDetected(AuditError):
    """Two histories of one log; both notes are the evidence."""

    code = "LF-AUDIT-FORK"

    def __init__(self, origin: str, known_note: bytes, shown_note: bytes) -> None:
        super().__init__(
            f"the log {origin} shows a history that does not extend the one it showed before",
            cure="keep both notes; its agency must explain: a restored backup is entered as a new log, never merged",
        )
        self.origin = origin
        self.known_note = known_note
        self.shown_note = shown_note


class LeafRefused(AuditError):
    """Bytes that are no canonical leaf."""

    code = "LF-AUDIT-LEAF"


class NoteRefused(AuditError):
    """A note, cosignature or proof that does not verify."""

    code = "LF-AUDIT-NOTE"
