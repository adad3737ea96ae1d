"""What can go wrong in the bus, by what the caller should do.

    BusError
    ├── Retry     try again later: nothing was done, or it will be found done (exit 75)
    ├── Refused   a rule forbids it; the attempt is on record (exit 4)
    ├── NotFound  nothing of that name here (exit 5)
    ├── NoAnswer  no answer in time (exit 6)
    ├── Usage     the request itself is wrong (exit 2)
    ├── CheckFailed  an audit check failed (exit 7)
    └── Broken    stop: an invariant does not hold (exit 1)

Every error has a stable code, a cause and a cure. None carries the value of a classed field.
"""

from typing import Any


class BusError(Exception):
    """Something went wrong in the bus."""

    code = "LF-BUS"
    exit_code = 1

    def __init__(self, cause: str, *, cure: str = "", code: str = "", **facts: Any) -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure
        self.code = code or type(self).code
        self.facts = facts

    def as_dict(self) -> dict[str, Any]:
        """Return the error as it crosses the control socket."""
        return {"code": self.code, "cause": self.cause, "cure": self.cure, "exit": self.exit_code, **self.facts}


class Retry(BusError):
    """Try again later."""

    code = "LF-BUS-RETRY"
    exit_code = 75


class Refused(BusError):
    """A rule forbids it; the attempt stands in the log. `facts` has rules, missing, next_step and entry."""

    code = "LF-POLICY-DENIED"
    exit_code = 4


class NotFound(BusError):
    """Nothing of that name here."""

    code = "LF-BUS-NOT-FOUND"
    exit_code = 5


class NoAnswer(BusError):
    """No answer came in time."""

    code = "LF-BUS-NO-ANSWER"
    exit_code = 6


class Usage(BusError):
    """The request itself is wrong."""

    code = "LF-BUS-USAGE"
    exit_code = 2


class CheckFailed(BusError):
    """What should prove something does not."""

    code = "LF-AUDIT-CHECK-FAILED"
    exit_code = 7


class Broken(BusError):
    """An invariant does not hold; stop and look."""

    code = "LF-BUS-BROKEN"
    exit_code = 1
