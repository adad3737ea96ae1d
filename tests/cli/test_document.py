"""A federation made by hand, with commands alone: members drafted, two agencies sign, both are enrolled."""

from pathlib import Path

import pytest

from deploy.demo.federation import POLICY
from tests.cli.conftest import lianfang

AGENCIES = {"centre": "centre", "auditor": "auditor", "bank-a": "bank"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for name in AGENCIES:
        assert lianfang("node", "init", name, "--role", "analyst", "--dir", tmp_path / name).code == 0
    return tmp_path


def _signed(root: Path, kind: str, body: Path, *signers: str) -> Path:
    signatures = []
    for name in signers:
        signatures.append(root / f"{kind}.{name}.sig")
        typed = lianfang("document", "sign", kind, body, signatures[-1], "--dir", root / name)
        assert typed.code == 0, typed.err
    document = root / f"{kind}.bin"
    typed = lianfang("document", "join", kind, body, *signatures, "--out", document)
    assert typed.code == 0, typed.err
    return document


def test_a_federation_is_made_with_commands_alone(made: Path) -> None:
    """From `node init` to `node enrol` no step needs anything but the command line."""
    members = [f"--member={kind}={made / name / 'member.json'}" for name, kind in AGENCIES.items()]
    drafted = lianfang("document", "draft-directory", made / "directory.body", *members)
    assert drafted.code == 0, drafted.err
    assert "bank-a" in drafted.out
    assert lianfang("document", "draft-policy", POLICY, made / "policy.body").code == 0
    directory = _signed(made, "directory", made / "directory.body", "centre", "auditor")
    policy = _signed(made, "policy", made / "policy.body", "centre", "auditor")
    for name in AGENCIES:
        typed = lianfang("node", "enrol", "--directory", directory, "--policy", policy, "--dir", made / name)
        assert typed.code == 0, typed.err
    shown = lianfang("document", "show", "directory", directory, "--json").value
    assert (shown["serial"], shown["signers"]) == (1, ["centre", "auditor"])
    assert [member["agency"] for member in shown["members"]] == sorted(AGENCIES)


def test_a_successor_follows_what_is_in_force(made: Path) -> None:
    """A draft after a document has the next serial; a suspended member is shown as such, a stranger is refused."""
    members = [f"--member={kind}={made / name / 'member.json'}" for name, kind in AGENCIES.items()]
    lianfang("document", "draft-directory", made / "one.body", *members)
    first = _signed(made, "directory", made / "one.body", "centre", "auditor")
    typed = lianfang(
        "document", "draft-directory", made / "two.body", "--after", first, "--suspend", "bank-a", "--json"
    )
    assert typed.value["serial"] == 2
    assert {item["agency"]: item["status"] for item in typed.value["members"]}["bank-a"] == "suspended"
    odd = lianfang("document", "draft-directory", made / "three.body", "--after", first, "--suspend", "bank-z")
    assert (odd.code, "LF-DOCUMENT-MEMBER" in odd.err) == (2, True)


@pytest.mark.parametrize("kind", ["directory", "policy"])
def test_a_draft_follows_a_signed_document_only(made: Path, kind: str) -> None:
    """A body that nobody signed, or any other file, is refused where the document in force is asked for; nothing is written."""
    member = f"--member=bank={made / 'bank-a' / 'member.json'}"
    lianfang("document", "draft-directory", made / "directory.body", member)
    lianfang("document", "draft-policy", POLICY, made / "policy.body")
    (made / "other").write_bytes(b"no document")
    what = [f"draft-{kind}", *([POLICY] if kind == "policy" else []), made / "next.body"]
    for wrong in (made / f"{kind}.body", made / "other"):
        typed = lianfang("document", *what, "--after", wrong)
        assert (typed.code, "LF-DOCUMENT-FORM" in typed.err, (made / "next.body").exists()) == (2, True, False)


def test_one_signature_does_not_enrol(made: Path) -> None:
    """A directory that one agency signed is refused at enrolment, with what is missing."""
    members = [f"--member={kind}={made / name / 'member.json'}" for name, kind in AGENCIES.items()]
    lianfang("document", "draft-directory", made / "directory.body", *members)
    lianfang("document", "draft-policy", POLICY, made / "policy.body")
    directory = _signed(made, "directory", made / "directory.body", "centre")
    policy = _signed(made, "policy", made / "policy.body", "centre", "auditor")
    typed = lianfang("node", "enrol", "--directory", directory, "--policy", policy, "--dir", made / "bank-a")
    assert (typed.code, "LF-DIRECTORY-SIGNATURES" in typed.err) == (2, True)


@pytest.mark.parametrize("command", ["sign", "join", "show"])
def test_other_files_are_told_from_documents(made: Path, command: str) -> None:
    """A file that is no body is named as such, and nothing is written."""
    rubbish = made / "rubbish"
    rubbish.write_bytes(b"\x00rubbish")
    out = made / "out"
    words = {
        "sign": ("sign", "policy", rubbish, out, "--dir", made / "centre"),
        "join": ("join", "policy", rubbish, rubbish, "--out", out),
        "show": ("show", "policy", rubbish),
    }[command]
    typed = lianfang("document", *words)
    assert (typed.code, "LF-DOCUMENT-FORM" in typed.err, out.exists()) == (2, True, False)
