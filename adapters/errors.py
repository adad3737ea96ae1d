"""What can go wrong between a local record and a shared message.

AdapterError
├── ProfileRefused   a profile is wrong: unknown key, unknown field, impossible verb
├── FileRefused      a file cannot be read as a whole; nothing of it becomes a message
└── RowRefused       one record cannot be used; it is held back with this cause and cure

No cause and no cure ever carries a value out of a record: it may be classed.
"""


class AdapterError(Exception):
    """Something is wrong with a profile, a file or a record."""

    code = "LF-MAP"

    def __init__(self, cause: str, *, cure: str = "", code: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure
        self.code = code or type(self).code


class ProfileRefused(AdapterError):
    """A profile is wrong; whoever wrote it must correct it."""

    code = "LF-MAP-PROFILE"


class FileRefused(AdapterError):
    """A file cannot be read as a whole."""

    code = "LF-FILE"


class RowRefused(AdapterError):
    """One record cannot be used."""

    code = "LF-ROW"
    column = ""
    """Header or path of the cell, as the source has it; empty where the whole record is at fault."""
