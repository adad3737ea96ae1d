"""The centre's part of an enrolment, for tests that make nodes by hand."""

from pathlib import Path

from bus.clock import SystemClock
from bus.enrolment import directory_body, member, open_keys, put_together, read_member, sign
from bus.policy.author import build_body
from bus.randomness import SystemRandomness
from deploy.demo.federation import POLICY

DAY_MS = 86_400_000


def documents(root: Path, agencies: dict[str, str], signers: tuple[str, ...]) -> tuple[Path, Path]:
    """Do the centre's part: put the members together, and have two agencies sign directory and policy."""
    clock, randomness = SystemClock(), SystemRandomness()
    now = clock.now_ms()
    members = [member(read_member(root / name / "member.json"), kind) for name, kind in agencies.items()]
    bodies = {
        "directory": directory_body(members, 1, b"", now),
        "policy": build_body(POLICY, 1, b"", now - DAY_MS, now + 60 * DAY_MS),
    }
    paths = []
    for kind, body in bodies.items():
        signatures = []
        for name in signers:
            keys = open_keys(root / name, clock, randomness)
            signatures.append(sign(keys, kind, body))
            keys.close()
        paths.append(root / f"{kind}.bin")
        paths[-1].write_bytes(put_together(kind, body, signatures))
    return paths[0], paths[1]
