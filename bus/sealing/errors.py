"""What can be wrong with a sealed message.

SealingError
├── EnvelopeRefused   not in form, not signed by its sender, or not for us
├── GrantRefused      a grant that does not hold
└── CannotOpen        plaintext was not given; the reason is for the log, never for the caller (no oracle)
"""


class SealingError(Exception):
    """Something is wrong with a sealed message."""

    code = "LF-SEAL"

    def __init__(self, cause: str, *, code: str = "", cure: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure
        self.code = code or type(self).code


class EnvelopeRefused(SealingError):
    """The envelope is not in form or not its sender's."""

    code = "LF-SEAL-ENVELOPE"


class GrantRefused(SealingError):
    """The grant does not hold."""

    code = "LF-SEAL-GRANT"


class CannotOpen(SealingError):
    """Plaintext was not given."""

    code = "LF-SEAL-CANNOT-OPEN"


_DEPEND_ON_SECRETS = frozenset(
    {
        "LF-SEAL-GRANT-WRAP",
        "LF-SEAL-GRANT-KEYS",
        "LF-SEAL-GRANT-COMMITMENT",
        "LF-SEAL-SUBJECTS",
    }
)


def told(code: str) -> str:
    """Return the code that the other side is told for a refusal of ours.

    Whether a key did not fit or a value was not as it should be stands in our own log: told to a sender, either would let it
    ask, message by message, what we hold. What follows from what travels in the clear it may know.
    """
    return CannotOpen.code if code in _DEPEND_ON_SECRETS else code


def cannot_open() -> CannotOpen:
    """Return the one refusal of every box: wrong key, altered, moved or smuggled into, nobody learns which."""
    return CannotOpen("the box does not open")
