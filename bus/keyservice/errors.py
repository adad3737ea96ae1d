"""Which errors cross the key service's socket as what they are: a closed table, by name, with code, cause and cure."""

from bus import errors as bus_errors
from bus.directory import DirectoryRefused
from bus.key_notices import NoticeOlder, NoticeRefused
from bus.keyservice.protocol import KeyServiceUnavailable
from bus.policy.errors import PolicyError
from bus.sealing import errors as sealing_errors
from bus.tags.errors import TagRefused

CARRIED = (bus_errors.BusError, sealing_errors.SealingError, DirectoryRefused, PolicyError)
_BUS = {
    kind.__name__: kind
    for kind in (
        bus_errors.BusError,
        bus_errors.Retry,
        bus_errors.Refused,
        bus_errors.NotFound,
        bus_errors.NoAnswer,
        bus_errors.Usage,
        bus_errors.Broken,
        KeyServiceUnavailable,
        TagRefused,
    )
}
_SEALING = {
    kind.__name__: kind
    for kind in (
        sealing_errors.SealingError,
        sealing_errors.EnvelopeRefused,
        sealing_errors.GrantRefused,
        sealing_errors.CannotOpen,
    )
}

_DIRECTORY = {kind.__name__: kind for kind in (DirectoryRefused, NoticeRefused, NoticeOlder)}


def carry(error: Exception) -> list[str]:
    """Return an error's kind, code, cause and cure. Never its traceback or arguments: they could hold a value."""
    assert isinstance(error, CARRIED)
    return [type(error).__name__, error.code, error.cause, error.cure]


def restore(kind: str, code: str, cause: str, cure: str) -> Exception:
    """Return the error that was carried; BusError for a kind that is not in the table."""
    if kind in _SEALING:
        return _SEALING[kind](cause, code=code, cure=cure)
    if kind in _DIRECTORY:
        return _DIRECTORY[kind](cause, code=code, cure=cure)
    if kind == PolicyError.__name__:
        return PolicyError(cause, code=code.removeprefix("LF-POLICY-"), cure=cure)
    return _BUS.get(kind, bus_errors.BusError)(cause, code=code, cure=cure)
