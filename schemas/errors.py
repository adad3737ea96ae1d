"""What can be wrong with a message or a schema.

SchemaError
├── UnknownType       no message of that name in this version of the language
├── UnclassedField    a field without a class, or with one where it may not stand
└── MessageRefused    a message breaks checks; carries the violations
"""

from dataclasses import dataclass


class SchemaError(Exception):
    """Something is wrong with a schema or a message."""

    code = "LF-SCHEMA"

    def __init__(self, message: str, *, cause: str = "", cure: str = "") -> None:
        super().__init__(message)
        self.cause = cause or message
        self.cure = cure


class UnknownType(SchemaError):
    """No message of that name exists in this version of the shared language."""

    code = "LF-SCHEMA-UNKNOWN-TYPE"


class UnclassedField(SchemaError):
    """A field has no class, or a class that may not stand where it stands."""

    code = "LF-SCHEMA-UNCLASSED-FIELD"


@dataclass(frozen=True)
class Violation:
    """One broken check. `rule` is stable: error code and translation key. Never carries the value."""

    rule: str
    path: str
    cause: str
    cure: str


class MessageRefused(SchemaError):
    """A message breaks one or more checks."""

    code = "LF-SCHEMA-MESSAGE-REFUSED"

    def __init__(self, message_type: str, violations: tuple[Violation, ...]) -> None:
        rules = ", ".join(violation.rule for violation in violations)
        super().__init__(
            f"{message_type} breaks {rules}",
            cause="; ".join(violation.cause for violation in violations),
            cure="; ".join(dict.fromkeys(violation.cure for violation in violations)),
        )
        self.violations = violations
