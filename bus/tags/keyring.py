"""The public keys that both authorities announced, as first seen: another key for the same epoch is refused, on record."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine

from bus import leaves
from bus.errors import Refused
from bus.parts import Actor, Parts
from bus.tags import epochs, group
from bus.tags.epochs import KeySet
from bus.tags.tables import tag_keys
from schemas.v1 import match_pb2


def key_sets(engine: Engine, authorities: Sequence[str]) -> list[KeySet]:
    """Return the epochs of which both authorities' keys are here."""
    with engine.connect() as connection:
        rows = connection.execute(select(tag_keys).where(tag_keys.c.authority.in_(authorities))).all()
    found: dict[str, list[tuple[str, group.Element, int, int]]] = {}
    for row in rows:
        mine = (row.authority, group.element(bytes(row.public_key)), row.not_before_ms, row.not_after_ms)
        found.setdefault(row.epoch, []).append(mine)
    return [
        KeySet(
            epoch,
            tuple((authority, key) for authority, key, _, _ in sorted(held)),
            # A second epoch of a quarter begins when the later of the two has announced it.
            max(begins for _, _, begins, _ in held),
            min(ends for _, _, _, ends in held),
        )
        for epoch, held in sorted(found.items())
        if len(held) == epochs.AUTHORITIES
    ]


def keep(parts: Parts, authority: str, key: match_pb2.TagKey, actor: Actor) -> None:
    """Keep an authority's key. TagRefused when it is no element, Refused when the authority has announced another before."""
    element = group.element(key.public_key)
    with parts.log.transaction(parts.append_deadline_s) as transaction:
        held = _held(transaction.connection, key.epoch, authority)
        if held is None:
            transaction.append(leaves.tag_key(parts, ("TAG-KEY", "PINNED", key.epoch.upper()), actor))
            insert(transaction.connection, authority, key)
        elif held != element:
            transaction.append(leaves.tag_key(parts, ("TAG-KEY", "LF-TAG-KEY-CHANGED", key.epoch.upper()), actor))
    if held is not None and held != element:
        raise Refused(
            f"{authority} announces another key for {key.epoch} than it did before",
            cure="the first stays pinned; ask the authority, and the auditor, what happened",
            code="LF-TAG-KEY-CHANGED",
        )


def insert(connection: Connection, authority: str, key: match_pb2.TagKey) -> None:
    """Write a key down."""
    connection.execute(
        tag_keys.insert(),
        {
            "epoch": key.epoch,
            "authority": authority,
            "public_key": key.public_key,
            "not_before_ms": key.not_before_ms,
            "not_after_ms": key.not_after_ms,
            "destroyed_ms": 0,
        },
    )


def _held(connection: Connection, epoch: str, authority: str) -> bytes | None:
    query = select(tag_keys.c.public_key).where(tag_keys.c.epoch == epoch, tag_keys.c.authority == authority)
    held = connection.execute(query).scalar()
    return None if held is None else bytes(held)
