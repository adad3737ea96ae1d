"""Writes the golden messages anew: `python -m tests.adapters.make_golden`. Read the difference before you commit it.

What changes whenever the demonstration's token is made anew (its bytes, its certificate, its file's hash) is left out.
"""

import json
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from adapters.convert import convert
from adapters.model import HeldBack
from tests.adapters.files import DEMO, ORDERS, PAPERS, RESULTS, profile, record

FOLDER = Path(__file__).parent / "golden"
_VOLATILE = ("passport_raw", "certificate_sha256")


def golden() -> dict[str, list[Any]]:
    """Return the outcomes of every profile's example, by profile."""
    certificates = {name: (DEMO / f"telecom-c-passport-{name}.pem").read_bytes() for name in ("cert", "ca")}
    return {
        "bank-notice-csv": _outcomes("bank-notice-csv", (DEMO / "bank-a-suspicious-accounts.csv").read_bytes()),
        "telecom-cdr-csv": _outcomes("telecom-cdr-csv", (DEMO / "telecom-c-calls.csv").read_bytes()),
        "shaken-passport": _outcomes("shaken-passport", (DEMO / "telecom-c-passport.txt").read_bytes(), certificates),
        "tfms-police": [
            row for code in ORDERS for row in _outcomes("tfms-police", record(f"2{code}", ORDERS[code], PAPERS))
        ],
        "tfms-bank": [row for code in RESULTS for row in _outcomes("tfms-bank", record(f"1{code}", RESULTS[code]))],
    }


def _outcomes(name: str, data: bytes, companions: dict[str, bytes] | None = None) -> list[Any]:
    rows: list[Any] = []
    for outcome in convert(profile(name), data, companions or {}):
        if isinstance(outcome, HeldBack):
            rows.append(
                {"held_back": outcome.code, "record": outcome.record, "line": outcome.line, "cause": outcome.cause}
            )
            continue
        message = MessageToDict(outcome.message, preserving_proto_field_name=True)
        for field in _VOLATILE:
            message.pop(field, None)
        if name == "shaken-passport":
            message["provenance"].pop("source_sha256")
        lineage = [[item.field, item.line, item.column, item.verb] for item in outcome.lineage]
        rows.append({"type": outcome.message.DESCRIPTOR.name, "message": message, "lineage": lineage})
    return rows


def text(rows: list[Any]) -> str:
    """Return the outcomes of one profile as they stand in its file."""
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    for profile_name, outcomes in golden().items():
        (FOLDER / f"{profile_name}.json").write_text(text(outcomes), encoding="utf-8")
