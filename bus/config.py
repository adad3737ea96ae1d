"""A node's configuration: node.toml in its directory, overridden by LIANFANG_… in the environment.

- Unknown keys are refused with "did you mean"; a wrong value names the key, what was expected and the cure.
- `origins` says for each value whether it came from the file, the environment or the default.
- Secrets are never values here, only paths to owner-only files.
"""

import difflib
import importlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from bus.errors import Usage

ENVIRONMENT_PREFIX = "LIANFANG_"
_DRIVERS = {"sqlite": "sqlite3", "sqlite+pysqlite": "sqlite3", "postgresql": "psycopg", "postgresql+psycopg": "psycopg"}
"""The databases that a node runs on, as SQLAlchemy names them, and the module that each needs."""
AGENCY_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\z"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Broker(_Strict):
    """Where the broker is and how to prove who we are."""

    host: str = "localhost"
    port: int = Field(default=5671, ge=1, le=65535)
    virtual_host: str = "bus"
    ca_file: str = "tls/ca.pem"
    certificate_file: str = "tls/cert.pem"
    key_file: str = "tls/key.pem"


class LocalSystem(_Strict):
    """The agency's own system."""

    profile: str
    service: str = Field(pattern=r"^svc-[a-z]+(-[a-z]+)*\z")
    directory: str = "handover"


class Oversight(_Strict):
    """Who witnesses this node's log."""

    witnesses: tuple[str, ...] = ()
    ship_every_s: float = Field(default=1.0, gt=0)


class Timers(_Strict):
    """Seconds until a row without receipt is sent again, by lane."""

    receipt_urgent_s: float = Field(default=30.0, gt=0)
    receipt_normal_s: float = Field(default=900.0, gt=0)
    receipt_bulk_s: float = Field(default=21600.0, gt=0)
    append_deadline_s: float = Field(default=2.0, gt=0)

    def receipt_waits_s(self) -> dict[str, float]:
        """Return, by lane, how long a receipt may take."""
        return {"urgent": self.receipt_urgent_s, "normal": self.receipt_normal_s, "bulk": self.receipt_bulk_s}


class Tags(_Strict):
    """Match tags: who holds the two shares of their key; for a holder, how many values it evaluates for each member."""

    authorities: tuple[str, ...] = ()
    wait_s: float = Field(default=5.0, gt=0, le=3600)
    hourly_max: int = Field(default=2000, ge=1)
    daily_max: int = Field(default=20000, ge=1)

    @field_validator("authorities")
    @classmethod
    def _two_or_none(cls, named: tuple[str, ...]) -> tuple[str, ...]:
        if len(named) not in (0, 2) or len(set(named)) != len(named):
            raise ValueError("match tags have two different authorities, or none")
        return named


class Operator(_Strict):
    """A person at this agency, known by the user id that the kernel gives for the control socket's peer."""

    uid: int = Field(ge=0)
    identity: str = Field(min_length=1, max_length=64)
    roles: tuple[str, ...]


class CaseEntry(_Strict):
    """A case of the agency's own register."""

    reference: str = Field(min_length=1, max_length=64)
    status: str = Field(pattern=r"^(filed|closed)\z")
    team: tuple[str, ...] = ()
    mandates: tuple[str, ...] = ()


SOURCE_PATTERN = r"^(credential:[A-Za-z0-9._-]+|file:.+|descriptor:[0-9]+|prompt)\z"
"""Where a secret of the key service comes from. Never a value, an argument or a variable: bus/keyservice/providers/source.py."""


class Passphrase(_Strict):
    """A passphrase guards the key-encryption key: Argon2id (RFC 9106; its second recommended setting is least and default)."""

    source: str = Field(pattern=SOURCE_PATTERN)
    memory_mib: int = Field(default=64, ge=64, le=4096)
    passes: int = Field(default=3, ge=3, le=64)
    lanes: int = Field(default=4, ge=1, le=16)


class Token(_Strict):
    """A key in a PKCS#11 token guards the key-encryption key."""

    module: str = Field(pattern=r"^/.+\z")
    token: str = Field(min_length=1, max_length=32)
    key: str = Field(min_length=1, max_length=255)
    pin: str = Field(pattern=SOURCE_PATTERN)


class Transit(_Strict):
    """A key in a Vault's transit engine guards the key-encryption key."""

    address: str = Field(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?\z")
    key: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\z")
    token: str = Field(pattern=SOURCE_PATTERN)
    mount: str = Field(default="transit", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\z")
    namespace: str = Field(default="", pattern=r"^[A-Za-z0-9_/-]*\z")
    ca_file: str = ""
    deadline_s: float = Field(default=5.0, gt=0, le=60)


class Guard(_Strict):
    """Who guards the key-encryption key. `unprotected-file` guards nothing: it is for trying Lianfang out."""

    provider: Literal["unprotected-file", "passphrase", "pkcs11", "transit"] = "unprotected-file"
    passphrase: Passphrase | None = None
    pkcs11: Token | None = None
    transit: Transit | None = None

    @model_validator(mode="after")
    def _has_its_table(self) -> Self:
        if self.provider != "unprotected-file" and getattr(self, self.provider) is None:
            raise ValueError(f"provider {self.provider} needs the table [keys.{self.provider}]")
        return self

    def tables(self) -> list[dict[str, Any]]:
        """Return the settings of every guard that is described."""
        return [table.model_dump() for table in (self.passphrase, self.pkcs11, self.transit) if table is not None]


class KeyLimits(_Strict):
    """What the key service gives at most; beyond it calls end with LF-KEYS-BUSY."""

    opens_per_minute: int = Field(default=600, ge=1)
    all_opens_per_minute: int = Field(default=120_000, ge=1)
    unprotects_per_minute: int = Field(default=60_000, ge=1)
    blinds_per_minute: int = Field(default=600_000, ge=1)
    seals_per_second: int = Field(default=20_000, ge=1)


class Apart(_Strict):
    """A key service that the service manager runs under a user of its own, instead of the node as its child."""

    socket: str = Field(pattern=r"^/.+\z")
    user: str = Field(min_length=1)
    node_user: str = Field(min_length=1)
    group: str = Field(min_length=1)
    vault: str = Field(pattern=r"^/.+\z")


class Keys(Guard):
    """The key service."""

    former: Guard | None = None
    limits: KeyLimits = KeyLimits()
    apart: Apart | None = None
    deadline_s: float = Field(default=5.0, gt=0, le=60)
    prekey_days: float = Field(default=7, gt=0, le=90)
    grace_days: float = Field(default=7, gt=0, le=90)
    overlap_days: float = Field(default=30, gt=0, le=365)

    def descriptors(self) -> tuple[int, ...]:
        """Return the open descriptors that a source names: whoever starts the key service hands them on."""
        tables = (table for guard in (self, self.former) if guard is not None for table in guard.tables())
        sources = (value for table in tables for value in table.values() if isinstance(value, str))
        return tuple(sorted({int(text.partition(":")[2]) for text in sources if text.startswith("descriptor:")}))

    def vault(self, node: Path) -> Path:
        """Return where the keys of the node in a directory lie."""
        return Path(self.apart.vault) if self.apart is not None else node / "keys"


class NodeConfig(_Strict):
    """The whole configuration of a node."""

    agency: str = Field(pattern=AGENCY_PATTERN, max_length=32)
    transport: str = Field(default="rabbitmq", pattern=r"^(rabbitmq|memory)\z")
    database: str = "sqlite:///node.db"
    broker: Broker = Broker()
    local_system: LocalSystem | None = None
    oversight: Oversight = Oversight()
    timers: Timers = Timers()
    tags: Tags = Tags()
    keys: Keys = Keys()
    operators: tuple[Operator, ...] = ()
    cases: tuple[CaseEntry, ...] = ()
    log_level: str = Field(default="info", pattern=r"^(debug|info|warning|error)\z")


def load(directory: Path, environment: Mapping[str, str] | None = None) -> tuple[NodeConfig, dict[str, str]]:
    """Return the configuration and where each value came from. Usage when it is missing or wrong."""
    path = directory / "node.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Usage(
            f"there is no node in {directory}",
            cure="make one with `lianfang node init`, or name another directory with --dir",
            code="LF-CONFIG-MISSING",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else f"byte {error.start + 1} is not UTF-8"
        raise Usage(
            f"{path} cannot be read: {why}",
            cure="it is a text file in UTF-8 that the user who runs the node may read",
            code="LF-CONFIG-UNREADABLE",
        ) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"node.toml is not TOML: {error}", cure="mend the line it names", code="LF-CONFIG-SYNTAX") from None
    origins = dict.fromkeys(_leaves(values), "node.toml")
    for key, value in _overrides(environment if environment is not None else os.environ):
        _set(values, key, value)
        origins[".".join(key)] = f"environment {ENVIRONMENT_PREFIX}NODE_{'__'.join(key).upper()}"
    try:
        config = NodeConfig.model_validate(values)
    except ValidationError as error:
        raise _explained(error, origins) from None
    for name in _leaves(config.model_dump()):
        origins.setdefault(name, "default")
    return config, origins


def database_url(config: NodeConfig, directory: Path) -> str:
    """Return the database's URL; a relative SQLite path is within the node's directory.

    Usage when it is no address of a database that a node runs on, or when that database's driver is not installed.
    """
    try:
        driver = _DRIVERS[make_url(config.database).drivername]
    except (ArgumentError, KeyError):
        raise Usage(
            "node.toml: database is no address of a database that a node runs on",
            cure="sqlite:///node.db, or postgresql+psycopg://account@host/name",
            code="LF-CONFIG-DATABASE",
        ) from None
    try:
        importlib.import_module(driver)
    except ImportError:
        raise Usage(
            f"the database of node.toml needs {driver}, which is not installed or does not load",
            cure="install lianfang with its extra: lianfang[postgres]",
            code="LF-CONFIG-NO-DRIVER",
        ) from None
    prefix = "sqlite:///"
    if config.database.startswith(prefix) and not config.database.startswith(prefix + "/"):
        return prefix + str(directory.resolve() / config.database.removeprefix(prefix))
    return config.database


def shown(config: NodeConfig, origins: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (key, value, origin) for people; passwords in a database URL are masked."""
    rows = []
    for key, value in _leaves(config.model_dump()).items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)
        if key == "database":
            text = _without_password(text)
        rows.append((key, text, origins.get(key, "default")))
    return rows


def _without_password(database: str) -> str:
    try:
        where = make_url(database)
    except ArgumentError:
        return "***"
    query = {name: "***" if "password" in name else value for name, value in where.query.items()}
    return where.set(query=query).render_as_string(hide_password=True)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _overrides(environment: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    for name, value in sorted(environment.items()):
        key = name.removeprefix(ENVIRONMENT_PREFIX)
        if key == name or not key.startswith(("NODE_",)):
            continue
        yield key.removeprefix("NODE_").lower().split("__"), value


def _set(values: dict[str, Any], key: list[str], value: str) -> None:
    for part in key[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            name = f"{ENVIRONMENT_PREFIX}NODE_{'__'.join(key).upper()}"
            raise Usage(
                f"environment {name}: {part} is no table, so nothing can be set in it",
                cure=f"set {part} in node.toml",
                code="LF-CONFIG-UNKNOWN-KEY",
            )
        values = inner
    values[key[-1]] = value


def _explained(error: ValidationError, origins: Mapping[str, str]) -> Usage:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    origin = next((where for key, where in origins.items() if f"{key}.".startswith(f"{place}.")), "node.toml")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), _known_keys(NodeConfig), n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        return Usage(f"{origin} has an unknown key {place}", cure=hint, code="LF-CONFIG-UNKNOWN-KEY")
    return Usage(
        f"{origin}: {place}: {first['msg']}", cure=f"give {place} a value of that kind", code="LF-CONFIG-VALUE"
    )


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, info in model.model_fields.items():
        keys.append(name)
        for candidate in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                keys += _known_keys(candidate)
    return keys
