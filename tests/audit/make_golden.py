"""Writes tests/audit/golden: entries, a tree, notes and a proof, from fixed keys. `python -m tests.audit.make_golden`.

The format is final: a change of these files is a break of every log there is.
"""

import json
from pathlib import Path

from google.protobuf import json_format

from audit import tiles, tree
from audit.checkpoint import cosign, sign_checkpoint
from audit.leaf import PREFIX, encode
from audit.v1 import leaf_pb2
from tests.audit.logs import AUDITOR, LOG, NOW_MS

GOLDEN = Path(__file__).parent / "golden"
_BLIND = bytes(range(16))
_DIGEST = bytes(range(32))
_FULL = {
    "correlation": _BLIND,
    "message_digest": _DIGEST,
    "peers": ["police-a", "telecom-c"],
    "actor": _BLIND[::-1],
    "actor_roles": ["investigator"],
    "system": "svc-node",
    "classes_requested": ["ACCOUNT_ID", "BALANCE"],
    "classes_released": ["ACCOUNT_ID"],
    "purpose": "investigate",
    "legal_basis": "CPL144",
    "case": _BLIND,
    "decision": leaf_pb2.DECISION_DENY,
    "rule_ids": ["OP-02"],
    "reason_codes": ["LF-POLICY-DENIED", "0600"],
    "missing": ["OP-02:a-mandate"],
    "policy_serial": 7,
    "policy_digest": _DIGEST,
    "context_digest": _DIGEST[::-1],
    "token_digest": _DIGEST,
    "follows": 3,
    "subjects": [leaf_pb2.Subject(kind="account", value=_BLIND, field="next_hop_account")],
    "record_count": 2,
    "file_digest": _DIGEST,
}


def leaves() -> dict[str, bytes]:
    """Return the golden entries by name: one of each kind, one of each action, one with every field, one with hardly any."""
    made = {}
    for number, kind in enumerate(leaf_pb2.Kind.values()[1:]):
        fields = {"at_ms": NOW_MS + number, "kind": kind, "agency": "bank-a", "exchange": number.to_bytes(16, "big")}
        made[leaf_pb2.Kind.Name(kind)] = leaf_pb2.Leaf(**fields, message_type="lianfang.v1.StopPaymentOrder")
    for action in leaf_pb2.Action.values()[1:]:
        fields = {"at_ms": NOW_MS, "kind": leaf_pb2.KIND_INTENT, "action": action, "agency": "police-a"}
        made[leaf_pb2.Action.Name(action)] = leaf_pb2.Leaf(**fields, decision=leaf_pb2.DECISION_PERMIT)
    made["every field"] = leaf_pb2.Leaf(
        at_ms=NOW_MS,
        kind=leaf_pb2.KIND_DENIAL,
        action=leaf_pb2.ACTION_OPEN,
        exchange=_BLIND,
        message_type="lianfang.v1.SuspiciousAccountNotice",
        agency="bank-a",
        **_FULL,
    )
    made["hardly any"] = leaf_pb2.Leaf(kind=leaf_pb2.KIND_HEARTBEAT)
    return {name: encode(leaf) for name, leaf in made.items()}


def files() -> dict[str, bytes]:
    """Return the golden files by name."""
    made = leaves()
    listed = [
        {
            "name": name,
            "leaf": json_format.MessageToDict(leaf_pb2.Leaf.FromString(data.removeprefix(PREFIX))),
            "bytes": data.hex(),
            "hash": tree.leaf_hash(data).hex(),
        }
        for name, data in made.items()
    ]
    hashed = [tree.leaf_hash(data) for data in made.values()]
    frontier = tree.Frontier()
    levels: dict[tuple[int, int], bytes] = {}
    for one in hashed:
        levels |= {(level, index): node for level, index, node in frontier.append(one)}
    root = frontier.root()
    note = sign_checkpoint(LOG.verifier.name, len(hashed), root, LOG.verifier, LOG.sign)
    text = note[: note.rindex(b"\n\n") + 1]
    cosigned = note + cosign(text, AUDITOR.verifier, AUDITOR.sign, NOW_MS)
    proof = tree.inclusion_proof(3, len(hashed), lambda level, index: levels[level, index])
    return {
        "leaves.json": json.dumps(listed, indent=1).encode() + b"\n",
        "root": root.hex().encode() + b"\n",
        "checkpoint": cosigned,
        "3.tlog-proof": tiles.proof_text(3, proof, cosigned),
        "vkey": LOG.verifier.text.encode() + b"\n",
        "witnesses": AUDITOR.verifier.text.encode() + b"\n",
    }


if __name__ == "__main__":
    for file, content in files().items():
        (GOLDEN / file).write_bytes(content)
