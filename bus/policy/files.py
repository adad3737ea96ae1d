"""The files of a bundle: read strictly, with the place and a cure in every refusal.

- A key given twice, an alias, an unknown key, a wrong type: refused. Nothing is coerced.
- A permit must say every column that widens it; `any` is a word that one writes, never what one forgot. A forbid may
  leave columns out, for leaving one out forbids more.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bus.policy import vocabulary as words_of
from bus.policy.errors import PolicyError
from bus.policy.guards import GUARDS
from bus.policy.model import Owner
from bus.policy.strict_yaml import read_yaml
from bus.policy.suites import FILE as SEALING
from bus.policy.suites import SealingFile, Suites
from bus.policy.vocabulary import (
    ACTIONS,
    ACTOR_ACTIONS,
    AGENCY_TYPES,
    CLASS_ACTIONS,
    CLASSES,
    Purpose,
    Vocabulary,
    did_you_mean,
    message_classes,
)

NAMES = ("floors.yaml", "owners.yaml", "rules.yaml", "tests.yaml", "vocabulary.yaml")
OPTIONAL = (SEALING,)
"""Files that a bundle may leave out."""
RULES_MAX = 1024
ANY = "any"
NONE = "none"
"""The purpose of a message that states none."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", strict=True)]
Words = Annotated[list[Word], Field(min_length=1)]
Column = Literal["any"] | Words | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PurposeEntry(_Strict):
    """A purpose."""

    says: Text
    bases: Words
    opens_for: Words


class VocabularyFile(_Strict):
    """vocabulary.yaml."""

    agency_types: dict[Word, Text]
    roles: dict[Word, Text]
    services: dict[Word, Text]
    purposes: dict[Word, PurposeEntry]
    bases: dict[Word, Text]
    classes: dict[Word, Text]
    never_sealed: dict[Word, Text]


class Rule(_Strict):
    """One row."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[0-9]{2,3}$", strict=True)]
    effect: Literal["permit", "forbid"]
    actions: Words
    agency_types: Column = None
    sender_types: Column = None
    roles: Words | None = None
    services: Words | None = None
    messages: Column = None
    purposes: Column = None
    bases: Words | None = None
    classes: Column = None
    only_if: Words | None = None
    why: Text
    next_step: Text | None = None
    result_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$", strict=True)] | None = None


class Floor(_Strict):
    """What a message must not withhold; `relief` where it lifts or releases, `extension` where it prolongs."""

    classes: Words
    relief: Words | None = None
    extension: Words | None = None
    why: Text


class OwnerEntry(_Strict):
    """Whose job a message is, and by when."""

    responsible: Text
    accept_s: Annotated[int, Field(ge=1, le=30 * 86400)]
    done_s: Annotated[int, Field(ge=1, le=365 * 86400)]
    escalation: Text


class Ask(_Strict):
    """The question of a golden decision; agencies are made up from their types."""

    action: Word
    agency_type: Word
    sender_type: Word
    message_type: Word
    field_class: str = ""
    purpose: str = ""
    legal_basis: str = ""
    sealed_purpose: str | None = None
    kind: str = ""
    roles: list[Word] = []
    service: str = ""
    case_present: bool = False
    case_status: str = ""
    mandate: bool = False
    on_team: bool = False
    own: bool = False
    attachments: list[Word] = []


class Golden(_Strict):
    """A decision that the bundle must give, with the rows that give it."""

    says: Text
    ask: Ask
    permitted: bool
    rules: list[Word]
    result_code: str = ""


class Files(_Strict):
    """The files of a bundle, each read and checked."""

    vocabulary: VocabularyFile
    rules: list[Rule]
    floors: dict[Word, Floor]
    owners: dict[Word, OwnerEntry]
    tests: list[Golden]
    suites: Suites


def read(contents: Mapping[str, bytes]) -> Files:
    """Return the files of a bundle. PolicyError, with the place, for the first thing wrong."""
    if set(contents) - set(OPTIONAL) != set(NAMES):
        odd = sorted((set(contents) - set(OPTIONAL)) ^ set(NAMES))
        raise PolicyError(
            f"the bundle lacks, or has without need: {', '.join(odd)}",
            code="FILES",
            cure=f"it holds {', '.join(NAMES)}, and may hold {', '.join(OPTIONAL)}",
        )
    files = Files.model_construct(
        vocabulary=_parse("vocabulary.yaml", contents, VocabularyFile),
        rules=_parse_list("rules.yaml", contents, Rule),
        floors=_parse_dict("floors.yaml", contents, Floor),
        owners=_parse_dict("owners.yaml", contents, OwnerEntry),
        tests=_parse_list("tests.yaml", contents, Golden),
        suites=_parse(SEALING, contents, SealingFile).suites if SEALING in contents else Suites(),
    )
    _check_vocabulary(files.vocabulary)
    _check_rules(files.rules, files.vocabulary)
    for name, keyed in (("floors.yaml", files.floors), ("owners.yaml", files.owners)):
        _known(f"{name}", keyed, message_classes(), "message type")
    for message, floor in files.floors.items():
        named = [*floor.classes, *(floor.relief or []), *(floor.extension or [])]
        _known(f"floors.yaml, {message}", named, message_classes()[message], "class")
    _check_exhaustive(files)
    return files


def vocabulary(file: VocabularyFile) -> Vocabulary:
    """Return the words of a checked vocabulary.yaml."""
    return Vocabulary(
        roles=file.roles,
        services=file.services,
        purposes={
            name: Purpose(entry.says, frozenset(entry.bases), frozenset(entry.opens_for))
            for name, entry in file.purposes.items()
        },
        bases=file.bases,
        classes=file.classes,
        agency_types=file.agency_types,
        never_sealed=file.never_sealed,
    )


def owners(file: Mapping[str, OwnerEntry]) -> dict[str, Owner]:
    """Return the owners of a checked owners.yaml."""
    return {
        message: Owner(entry.responsible, entry.accept_s, entry.done_s, entry.escalation)
        for message, entry in file.items()
    }


_Model = TypeVar("_Model", bound=BaseModel)


def _load(name: str, contents: Mapping[str, bytes]) -> Any:
    try:
        return read_yaml(contents[name].decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}, line {mark.line + 1}" if mark is not None else name
        raise PolicyError(
            f"{place}: {getattr(error, 'problem', None) or 'not YAML in UTF-8'}",
            code="YAML",
            cure="mend the line; every key stands once, aliases are not used",
        ) from None
    except RecursionError:
        raise PolicyError(f"{name}: nested too deeply", code="YAML", cure="a bundle's files are flat") from None


def _validate(place: str, value: Any, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(whole)"
        hint = "give it as the other rows do"
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(str(first["loc"][-1]), model.model_fields)
        raise PolicyError(f"{place}, key {key}: {first['msg'].lower()}", code="FORM", cure=hint) from None


def _parse(name: str, contents: Mapping[str, bytes], model: type[_Model]) -> _Model:
    return _validate(name, _load(name, contents), model)


def _parse_list(name: str, contents: Mapping[str, bytes], model: type[_Model]) -> list[_Model]:
    rows = _load(name, contents)
    if not isinstance(rows, list) or not 0 < len(rows) <= RULES_MAX:
        raise PolicyError(
            f"{name}: a list of 1 to {RULES_MAX} rows was expected", code="FORM", cure="begin rows with -"
        )
    return [_validate(f"{name}, row {_name_of(row, at)}", row, model) for at, row in enumerate(rows, start=1)]


def _name_of(row: Any, at: int) -> str:
    return str(row.get("id") or row.get("says") or at) if isinstance(row, dict) else str(at)


def _parse_dict(name: str, contents: Mapping[str, bytes], model: type[_Model]) -> dict[str, _Model]:
    rows = _load(name, contents)
    if not isinstance(rows, dict):
        raise PolicyError(f"{name}: message types with their values were expected", code="FORM", cure="Type: {…}")
    return {key: _validate(f"{name}, {key}", value, model) for key, value in rows.items()}


def _known(place: str, given: Iterable[str], known: Iterable[str], what: str) -> None:
    words = frozenset(known)
    for word in given:
        if word not in words:
            raise PolicyError(f"{place}: unknown {what} {word}", code="WORD", cure=did_you_mean(word, words))


def _check_vocabulary(file: VocabularyFile) -> None:
    explained: tuple[tuple[str, Iterable[str], frozenset[str]], ...] = (
        ("classes", file.classes, CLASSES),
        ("agency_types", file.agency_types, AGENCY_TYPES),
    )
    for key, given, wanted in explained:
        _known(f"vocabulary.yaml, key {key}", given, wanted, "word")
        if missing := sorted(wanted - set(given)):
            raise PolicyError(
                f"vocabulary.yaml, key {key}: {', '.join(missing)} is not explained",
                code="WORD",
                cure="give every word of the shared language a sentence",
            )
    for reserved in (ANY, NONE):
        for key in ("purposes", "roles", "services"):
            if reserved in getattr(file, key):
                raise PolicyError(f"vocabulary.yaml, key {key}: {reserved} is reserved", code="WORD", cure="rename it")
    for name, purpose in file.purposes.items():
        place = f"vocabulary.yaml, key purposes.{name}"
        _known(f"{place}.bases", purpose.bases, file.bases, "legal basis")
        _known(f"{place}.opens_for", purpose.opens_for, file.purposes, "purpose")
    _known("vocabulary.yaml, key never_sealed", file.never_sealed, message_classes(), "message type")


def _check_rules(rules: list[Rule], words: VocabularyFile) -> None:
    seen: set[str] = set()
    for rule in rules:
        place = f"rules.yaml, row {rule.id}"
        if rule.id in seen:
            raise PolicyError(f"{place}: the id stands twice", code="DUPLICATE-RULE", cure="give each row its own id")
        seen.add(rule.id)
        _check_words(place, rule, words)
        _check_columns(place, rule)


def _check_words(place: str, rule: Rule, words: VocabularyFile) -> None:
    for key, given, known in (
        ("actions", rule.actions, ACTIONS),
        ("agency_types", rule.agency_types, AGENCY_TYPES),
        ("sender_types", rule.sender_types, AGENCY_TYPES),
        ("roles", rule.roles, words.roles),
        ("services", rule.services, words.services),
        ("messages", rule.messages, message_classes()),
        ("purposes", rule.purposes, {*words.purposes, NONE}),
        ("bases", rule.bases, words.bases),
        ("classes", rule.classes, CLASSES),
        ("only_if", rule.only_if, GUARDS),
    ):
        _known(f"{place}, key {key}", [] if given in (None, ANY) else given, known, "word")


def _check_columns(place: str, rule: Rule) -> None:
    actions = frozenset(rule.actions)
    if rule.result_code is not None and (rule.effect != "forbid" or actions != {"hand_over"}):
        raise _column(place, "result_code", "stands only in a forbid of hand_over")
    if (rule.roles or rule.services) and not actions <= ACTOR_ACTIONS:
        raise _column(place, "roles", "nobody acts when a message is sealed or accepted")
    if rule.classes is not None and not actions <= CLASS_ACTIONS:
        raise _column(place, "classes", "only seal and open are decided class by class")
    if rule.effect == "forbid":
        return
    needed = ["agency_types", "messages", "purposes"]
    needed += ["sender_types"] if actions & {"seal", "accept"} else []
    needed += ["classes"] if actions & CLASS_ACTIONS else []
    for key in needed:
        if getattr(rule, key) is None:
            raise _column(place, key, "a permit must say it; write any if any is meant")
    if actions & ACTOR_ACTIONS and not (rule.roles or rule.services):
        raise _column(place, "roles", "a permit to act must name roles or services")


def _column(place: str, key: str, cause: str) -> PolicyError:
    return PolicyError(f"{place}, key {key}: {cause}", code="FORM", cure="see docs/adr/0006-policy-rows.md")


def _check_exhaustive(files: Files) -> None:
    """Every sealed class of every body type has a seal row, or its type is said never to be sealed."""
    sealed: dict[str, set[str]] = {}
    for rule in files.rules:
        if rule.effect == "permit" and "seal" in rule.actions:
            for message in words_of.message_classes() if rule.messages == ANY else rule.messages or []:
                sealed.setdefault(message, set()).update(CLASSES if rule.classes == ANY else rule.classes or [])
    for message in message_classes():
        if (message in sealed) == (message in files.vocabulary.never_sealed):
            raise PolicyError(
                f"{message} must either stand in a seal row or under never_sealed in vocabulary.yaml",
                code="EXHAUSTIVE",
                cure="write the row, or say why there is none",
            )
    unused = CLASSES - set().union(*sealed.values())
    if unused:
        raise PolicyError(
            f"no seal row speaks of {', '.join(sorted(unused))}", code="EXHAUSTIVE", cure="write the row that does"
        )
