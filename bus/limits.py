"""Limits that the rooms of the bus share, each with its unit. What one module alone limits stands at its head."""

from collections.abc import Sequence

ENVELOPE_BYTES_MAX = 1024 * 1024 - 64 * 1024
"""A message on the wire; the broker refuses more than 1 MiB with its own headers."""

SEND_FILE_BYTES_MAX = 64 * 1024 * 1024
"""A file given to `send` over the control socket."""

CONTROL_REQUEST_BYTES_MAX = 96 * 1024 * 1024
"""One request on the control socket (a file in base64)."""

SEAL_BATCH_MAX = 64
"""Messages sealed under one signature."""

SHIPMENT_LEAVES_MAX = 512
"""Log entries in one Checkpoint message; 512 leaves of 1 KiB stay under the envelope's limit."""

SHIPMENT_BYTES_MAX = 512 * 1024
"""Bytes of log entries in one Checkpoint message."""

SHIPMENT_STRETCH_MAX = 4096
"""Log entries shipped under one checkpoint, where there are older checkpoints to stop at."""

SHIPMENT_WAITING_BYTES_MAX = 32 * 1024 * 1024
"""Log entries of one agency that wait in a witness's memory for the last part of their shipment."""

RECIPIENTS_MAX = 64
"""Recipients of one message: as many names as an entry of 4 KiB holds beside everything else."""

SUBJECTS_MAX = 81
"""Accounts, phones and persons that a message names: as many as the schemas allow, and as an entry of 4 KiB holds."""

SUBJECT_VALUES_MAX = 4096
"""Keyed values that an auditor keeps of one agency for one question."""

LIFETIME_MS = {"urgent": 48 * 3600 * 1000, "normal": 7 * 86400 * 1000, "bulk": 30 * 86400 * 1000}
"""How long after sealing a receiver still takes a message, by lane."""

CLOCK_SKEW_MS_MAX = 5 * 60 * 1000
"""How far ahead of its receiver a sender's clock may be."""

RESEND_WAIT_MS_MAX = 6 * 3600 * 1000
"""The longest pause between two sendings of the same row."""

TOKEN_LIFETIME_MS = 5_000
"""How long after its leaf an opening may be redeemed at the key service."""

INBOX_PAGE_MAX = 500
"""Rows of one listing: inbox, sent, orders, held back, quarantine."""

REQUIRED_POLICE_IDS = 2
"""Police-ID scans that an order needs (result 0600 without them)."""


def in_parts(recipients: Sequence[str]) -> list[tuple[str, ...]]:
    """Return recipients in parts, each small enough for one message."""
    return [tuple(recipients[at : at + RECIPIENTS_MAX]) for at in range(0, len(recipients), RECIPIENTS_MAX)]
