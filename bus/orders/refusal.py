"""The result of an order, or the answer to a query, that did not take effect here: its code, its reason, and what it was about."""

from google.protobuf.message import Message

from bus.orders import states
from bus.policy.model import Decision
from schemas import registry
from schemas.v1 import common_pb2

_REPEATED = (
    ("application_id", "application_id"),
    ("kind", "kind"),
    ("target", "target"),
    ("account", "account"),
    ("sections", "searched_sections"),
)
"""What of an order stands in its result too, where both have a field for it."""
_OTHER = "9999"


def refusal(order: Message, decision: Decision) -> Message:
    """Return what is sent instead of a result: policy's own code, or the list's code for anything else."""
    name = registry.bare_name(states.RESULT_OF[order.DESCRIPTOR.full_name])
    given, taken = order.DESCRIPTOR.fields_by_name, registry.descriptor_of(name).fields_by_name
    repeated = {theirs: getattr(order, ours) for ours, theirs in _REPEATED if ours in given and theirs in taken}
    return registry.body_type(name)(
        result=common_pb2.CodedValue(scheme="tfms.result", code=decision.result_code or _OTHER),
        feedback_remark=decision.reason,
        **repeated,
    )
