"""The class of every field, read from the descriptors.

- Every field of every message carries a class; `assert_classed` refuses a schema where one does not.
- A body's own fields carry a concrete class; a field that holds a shared type gives its class to all that is in it, so
  INHERIT stands only inside shared types.
- What a class means and who may read it is policy, not said here.
"""

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from schemas.errors import UnclassedField
from schemas.v1 import field_class_pb2

OPEN = "OPEN"
INHERIT = "INHERIT"
_PREFIX = "FIELD_CLASS_"

CLASSES: tuple[str, ...] = tuple(
    name.removeprefix(_PREFIX)
    for name, number in field_class_pb2.FieldClass.items()
    if number not in (field_class_pb2.FIELD_CLASS_UNSPECIFIED, field_class_pb2.FIELD_CLASS_INHERIT)
)
"""Names of the concrete classes, in the order of their numbers."""


def class_number(name: str) -> int:
    """Return the enum number of a class name such as ACCOUNT_ID; ValueError for an unknown one."""
    return field_class_pb2.FieldClass.Value(_PREFIX + name)


def class_name(number: int) -> str:
    """Return the class name of an enum number; ValueError for an unknown one."""
    return field_class_pb2.FieldClass.Name(number).removeprefix(_PREFIX)  # type: ignore[arg-type]  # checked by protobuf


def field_class(field: FieldDescriptor) -> str:
    """Return the class of one field, INHERIT included; UNSPECIFIED when it has none."""
    return class_name(field.GetOptions().Extensions[field_class_pb2.field_class])


@cache
def fields_by_class(body: Descriptor) -> dict[str, tuple[FieldDescriptor, ...]]:
    """Return the fields of a body by concrete class. UnclassedField when one has none."""
    assert_classed(body)
    found: dict[str, list[FieldDescriptor]] = {}
    for field in body.fields:
        found.setdefault(field_class(field), []).append(field)
    return {name: tuple(fields) for name, fields in found.items()}


def assert_classed(body: Descriptor) -> None:
    """Refuse a body with an unclassed field, an INHERIT at its top, or a shared type that does not inherit."""
    for field in body.fields:
        if field_class(field) not in CLASSES:
            raise UnclassedField(
                f"{field.full_name} has the class {field_class(field)}",
                cause="a field of a message body has no concrete class, so nobody could say who may read it",
                cure="give it (field_class) = FIELD_CLASS_…; see schemas/v1/field_class.proto",
            )
        if field.message_type is not None:
            _assert_inner(field.message_type, field_class(field), frozenset({body.full_name}))


def _assert_inner(inner: Descriptor, outer_class: str, above: frozenset[str]) -> None:
    if inner.full_name in above:
        return
    for field in inner.fields:
        given = field_class(field)
        # An open type (a directory's member) may stand only in an open field.
        if given != INHERIT and not (given == OPEN and outer_class == OPEN):
            raise UnclassedField(
                f"{field.full_name} has the class {given} inside a field of class {outer_class}",
                cause="a shared type takes the class of the field that holds it",
                cure="use FIELD_CLASS_INHERIT in shared types",
            )
        if field.message_type is not None:
            _assert_inner(field.message_type, outer_class, above | {inner.full_name})
