"""Rows in sentences."""

from collections.abc import Iterable, Mapping

from bus.policy.bundle import Bundle
from bus.policy.files import ANY, NONE, Rule
from bus.policy.guards import GUARDS
from bus.policy.vocabulary import Vocabulary

_VERBS = {
    "seal": "be given",  # the row's agency is the recipient
    "accept": "accept",
    "open": "open",
    "disclose": "disclose as evidence",
    "send": "send",
    "hand_over": "hand over",
    "search": "search by",
    "sign": "sign",
}


def render(bundle: Bundle) -> list[str]:
    """Return one sentence per row, in the order of the bundle."""
    return [_sentence(rule, bundle.vocabulary) for rule in bundle.rules]


def _sentence(rule: Rule, words: Vocabulary) -> str:
    verb = "MAY" if rule.effect == "permit" else "MUST NOT"
    sentence = f"{rule.id}: {_who(rule, words)} {verb} {_joined(_VERBS[action] for action in rule.actions)}"
    sentence += f" {_what(rule, words)}"
    if rule.sender_types not in (None, ANY):
        sentence += f" from {_named(rule.sender_types or (), words.agency_types)}"
    if rule.purposes not in (None, ANY):
        said = {name: purpose.says for name, purpose in words.purposes.items()}
        sentence += f", for {_named(rule.purposes or (), said | {NONE: 'no stated purpose'})}"
    if rule.bases:
        sentence += f", on {_named(rule.bases, words.bases)}"
    if rule.only_if:
        sentence += f", if {' and '.join(GUARDS[name].says for name in rule.only_if)}"
    return f"{sentence}. ({rule.why})"


def _who(rule: Rule, words: Vocabulary) -> str:
    agencies = "any agency" if rule.agency_types in (None, ANY) else _named(rule.agency_types or (), words.agency_types)
    roles = [f"a person with the role {role}" for role in rule.roles or ()]
    actors = _joined([*roles, *(f"the service {name}" for name in rule.services or ())])
    return f"{actors} of {agencies}" if actors else agencies


def _what(rule: Rule, words: Vocabulary) -> str:
    messages = "any message" if rule.messages in (None, ANY) else _joined(rule.messages or ())
    if rule.classes is None:
        return messages
    if rule.classes == ANY:
        return f"everything of {messages}"
    return f"{_joined((words.classes[name] for name in rule.classes), 'and')} of {messages}"


def _named(names: Iterable[str], said: Mapping[str, str]) -> str:
    return _joined(said[name] for name in names)


def _joined(words: Iterable[str], last: str = "or") -> str:
    *front, end = [*words] or [""]
    return f"{', '.join(front)} {last} {end}" if front else end
