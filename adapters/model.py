"""What comes out of the adapters."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message


class Shared(NamedTuple):
    """Where a text stands that cells of a workbook share."""

    part: str
    """The member of the archive, or the stream of an old .xls."""
    number: int
    """Which of the shared texts, from 0."""
    start: int
    """First byte in that member or stream."""
    end: int
    """One past the last byte."""


class Spot(NamedTuple):
    """Where a text stands, as the last parts of its lineage say it."""

    start: int
    end: int
    part: str = ""
    cell: str = ""
    shared: Shared | None = None


NOWHERE = Spot(-1, -1)


class Lineage(NamedTuple):
    """Where one field of a message came from. `raw` is classed like the field itself."""

    field: str
    """Path in the message, for example account.number."""
    record: int
    """Number of the record in the source, from 1, counted as the profile defines a record."""
    line: int
    """Line of the source at which the record begins, from 1; 1 where the source has no lines."""
    column: str
    """Header, element path or claim, as the source has it; empty for what the profile supplied. In a workbook of several sheets
    the sheet's name and an exclamation mark stand before the header."""
    raw: str
    """The text as the source has it, before anything was done to it."""
    verb: str
    """What was done to it, in order, for example trim, unguard, parse account."""
    start: int = -1
    """First byte of its cell or element in the source; -1 where that is not known."""
    end: int = -1
    """One past the last byte."""
    part: str = ""
    """Workbooks: the member of the archive, or the stream of an old .xls, in which the bytes are counted once it is unpacked.
    Empty where they are counted in the file."""
    cell: str = ""
    """Workbooks: the cell's reference, as B7."""
    shared: Shared | None = None
    """Workbooks: where the cell's text stands when it holds no text but the number of one."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it; what only workbooks have stands only there."""
        whole = self._asdict()
        shared = whole.pop("shared")
        if not self.part:
            del whole["part"], whole["cell"]
        return {**whole, "shared": shared._asdict()} if shared is not None else whole


class RowWarning(NamedTuple):
    """What a reader found odd in a record, but not wrong. The cause carries no value."""

    code: str
    field: str
    cause: str


class Converted(NamedTuple):
    """A record that became a message. Its lineage is worked out when it is asked for."""

    message: Message
    record: int
    line: int
    raw: bytes
    """The record's own bytes, as they stand in the source."""
    warnings: tuple[RowWarning, ...]
    trace: Callable[[], tuple[Lineage, ...]]
    context: bytes = b""
    """What else tells it from records with the same bytes: its kind and what it reads of its surroundings."""
    like: Callable[[], bytes] | None = None
    """What stays the same when the file is saved in another encoding or as a workbook; None where that is the bytes."""
    sheets: tuple[tuple[str, int], ...] = ()
    """Workbooks of several sheets: sheet and row of each of its lines."""
    made_of: Mapping[str, Any] | None = None
    """The values that the message was made of: its checks can be asked of them. Whoever changes the message takes them out."""

    @property
    def lineage(self) -> tuple[Lineage, ...]:
        """Where each field came from."""
        return self.trace()

    @property
    def identity(self) -> bytes:
        """What a fingerprint is taken over: records of one dialect with the same identity are the same record."""
        return (self.raw if self.like is None else self.like()) + self.context


class Fault(NamedTuple):
    """One thing that is wrong with a record."""

    code: str
    cause: str
    cure: str
    column: str


class HeldBack(NamedTuple):
    """A record that became no message: why, and what its owner can do."""

    record: int
    line: int
    code: str
    cause: str
    cure: str
    raw: bytes
    column: str = ""
    """Header or path of the cell at fault; empty where it is the whole record."""
    context: bytes = b""
    """What else tells it from records with the same bytes, as of one that became a message."""
    others: tuple[Fault, ...] = ()
    """What else is wrong with it."""
    like: Callable[[], bytes] | None = None
    """As of one that became a message."""
    sheets: tuple[tuple[str, int], ...] = ()
    """As of one that became a message."""

    @property
    def identity(self) -> bytes:
        """What a fingerprint is taken over."""
        return (self.raw if self.like is None else self.like()) + self.context


class Rendered(NamedTuple):
    """A message in a local format, and every field of the message that the local format cannot carry."""

    data: bytes
    loss: tuple[str, ...]


class Fit(NamedTuple):
    """How a file fits a dialect."""

    profile: str
    score: int
    """What dialects are compared by; higher fits better."""
    sure: float
    """Which part of what the file says of itself the dialect knows, from 0 to 1."""
    why: tuple[str, ...]
