"""What is known of message ids: what came under them, by sender, and whose the messages are that are held under them.

An id is its sender's: what another agency sends under it, taken or refused, changes nothing for the sender's own message
unless that other one was taken first, and then the sender is told.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.engine import Engine

from bus import store


class Known(NamedTuple):
    """What is known of a sender's message id. An empty outcome: known from the batch in hand."""

    sha256: bytes
    outcome: str
    code: str
    log_index: int


def under(engine: Engine, message_ids: Sequence[bytes]) -> tuple[dict[tuple[str, bytes], Known], dict[bytes, str]]:
    """Return what came under these ids, by sender and id, and the sender of each message that is held under one of them."""
    if not message_ids:
        return {}, {}
    inbox, messages = store.inbox, store.messages
    came = select(inbox).where(inbox.c.message_id.in_(message_ids))
    held = select(messages.c.message_id, messages.c.sender).where(messages.c.message_id.in_(message_ids))
    with engine.connect() as connection:
        known = {
            (row.sender, row.message_id): Known(row.sha256, row.outcome, row.code, row.log_index)
            for row in connection.execute(came)
        }
        return known, {row.message_id: row.sender for row in connection.execute(held)}
