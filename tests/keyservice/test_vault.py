"""Keys on disk: owner-only, never overwritten, held by one service, useless without each other."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from bus.directory import DirectoryRefused
from bus.errors import Broken, BusError, Retry, Usage
from bus.keyservice import keyfile
from bus.keyservice.keyfile import KeyFile
from bus.keyservice.service import KeyService
from bus.keyservice.vault import Vault
from bus.policy.author import build_body
from bus.policy.errors import PolicyError
from schemas.v1 import federation_pb2
from tests.keyservice.house import NOW_MS, POLICY, FixedClock, House, SeededRandomness, seal_request


def _refused(directory: Path, code: str) -> None:
    with pytest.raises(BusError) as caught:
        Vault(directory, SeededRandomness("x"))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "mode"), [("", 0o755), ("", 0o710), ("kek.json", 0o640), ("kek.json", 0o604), ("keys.db", 0o644)]
)
def test_a_vault_that_others_can_read_does_not_open(house: House, name: str, mode: int):
    """Directory, key file and database are their owner's alone, or the service does not start."""
    path = house.root / "bank-a"
    (path / name).chmod(mode)
    _refused(path, "LF-KEYS-PERMISSIONS")


def test_a_link_in_place_of_the_key_does_not_open(house: House):
    """A key file that is a link is refused: it could lead where others write."""
    path = house.root / "bank-a" / "kek.json"
    path.rename(house.root / "elsewhere")
    path.symlink_to(house.root / "elsewhere")
    _refused(house.root / "bank-a", "LF-KEYS-PERMISSIONS")


def test_files_are_made_for_their_owner_alone(house: House):
    """Whatever the umask, nothing in a new vault can be read by others."""
    before = os.umask(0)
    try:
        KeyService.create(house.root / "new", "bank-c", FixedClock(), SeededRandomness("c"))
        service = KeyService(house.root / "new", FixedClock(), SeededRandomness("d"), lambda _: None)
        service.blind("case", ["A1"], NOW_MS)
    finally:
        os.umask(before)
    assert (house.root / "new").stat().st_mode & 0o077 == 0
    modes = {path.name: path.stat().st_mode & 0o077 for path in (house.root / "new").iterdir()}
    service.close()
    assert {"kek.json", "keys.db", "keys.lock"} <= set(modes)
    assert not any(modes.values())


def test_keys_are_never_overwritten(house: House):
    """Making keys where there are some is refused, and leaves them and nothing else."""
    before = house.services["bank-a"].public_keys()
    listed = sorted(path.name for path in house.root.iterdir())
    with pytest.raises(Usage) as caught:
        KeyService.create(house.root / "bank-a", "bank-a", house.clock, SeededRandomness("other"))
    assert caught.value.code == "LF-KEYS-EXIST"
    assert house.start("bank-a").public_keys() == before
    assert sorted(path.name for path in house.root.iterdir()) == listed


def test_a_creation_that_died_is_begun_anew(house: House):
    """What a creation that was killed left behind does not stand in the way of the next."""
    (house.root / ".new.new").mkdir()
    (house.root / ".new.new" / "kek.json").write_bytes(b"half")
    KeyService.create(house.root / "new", "bank-c", FixedClock(), SeededRandomness("c"))
    Vault(house.root / "new", SeededRandomness("d")).close()


def test_two_services_never_hold_one_vault(house: House):
    """A second service on the same keys is refused while the first lives, and starts once it has let go."""
    house.start("bank-a")
    _refused(house.root / "bank-a", "LF-KEYS-IN-USE")
    house.services["bank-a"].close()
    Vault(house.root / "bank-a", SeededRandomness("x")).close()
    house.services.pop("bank-a")


def test_a_stolen_database_yields_no_key(house: House):
    """Without kek.json the database holds no secret in the clear: none of the service's keys is among its bytes."""
    service = house.services["bank-a"]
    service.seal([seal_request()])
    secrets = [service._must(name) for name in ("signing", "log", "witness", "prekey")]
    secrets += [service._fingerprint, service._rest]
    secrets += [key for held in service._sealer._issued.values() for key in held.keys.values()]
    assert len(secrets) == 10
    data = b"".join(path.read_bytes() for path in (house.root / "bank-a").iterdir() if path.name.startswith("keys.db"))
    assert not [secret for secret in secrets if secret in data]


def test_a_changed_or_moved_secret_is_found(house: House):
    """A secret altered on disk, or put under another's name, stops the service with its cure."""
    path = house.root / "bank-a"
    for statement in (
        "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'log') WHERE name = 'signing'",
        "UPDATE secrets SET sealed = zeroblob(60) WHERE name = 'signing'",
        "UPDATE secrets SET sealed = x'00' WHERE name = 'signing'",
    ):
        copy = house.root / "copy"
        shutil.copytree(path, copy)
        with sqlite3.connect(copy / "keys.db") as connection:
            connection.execute(statement)
        connection.close()
        with pytest.raises(Broken) as caught:
            KeyService(copy, FixedClock(), SeededRandomness("x"), lambda _: None)
        assert caught.value.code == "LF-KEYS-CORRUPT"
        shutil.rmtree(copy)


def _other_key(file: KeyFile) -> KeyFile:
    return replace(file, wrapped=bytes(32))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_other_key, "LF-KEYS-CORRUPT"),
        (lambda file: replace(file, vault=bytes(16)), "LF-KEYS-OTHER-VAULT"),
        (lambda file: replace(file, generation=2), "LF-KEYS-GENERATION"),
        (lambda file: replace(file, provider="pkcs11"), "LF-KEYS-PROVIDER"),
        (lambda file: replace(file, parameters={"a": 1}), "LF-KEYS-PROVIDER"),
        (lambda file: replace(file, wrapped=bytes(16)), "LF-KEYS-KEYFILE"),
    ],
)
def test_a_key_file_that_is_not_this_vaults_is_named_for_what_it_is(house: House, change: Callable, code: str):
    """A key file with another key, of another vault, another generation or another guard has a code of its own each."""
    path = house.root / "bank-a" / keyfile.NAME
    change(keyfile.read(path)).write(path)
    _refused(house.root / "bank-a", code)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "change",
    [_cut, lambda _: b"", lambda data: data + b" ", lambda data: data.replace(b'"version": 1', b'"version": 2')]
    + [lambda _, text=text: text for text in (b"[]", b"{}", b"\xff", b"[" * 9000, b'{"version": true}')],
)
def test_a_damaged_key_file_is_one(house: House, change: Callable):
    """A key file that is cut, empty, followed by something, of another version or no JSON is refused as that."""
    path = house.root / "bank-a" / keyfile.NAME
    path.write_bytes(change(path.read_bytes()))
    _refused(house.root / "bank-a", "LF-KEYS-KEYFILE")


@pytest.mark.parametrize("keep", [0, 100, 4096, 8192])
def test_a_truncated_database_is_one(house: House, keep: int):
    """A database that was cut off anywhere is refused at the start, not when a key is first missed."""
    os.truncate(house.root / "bank-a" / "keys.db", keep)
    _refused(house.root / "bank-a", "LF-KEYS-DATABASE")


def test_a_database_of_something_else_is_no_vault(house: House):
    """A file that is no database, or a database without the vault's own row, is refused."""
    path = house.root / "bank-a" / "keys.db"
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM vault")
    connection.close()
    _refused(house.root / "bank-a", "LF-KEYS-DATABASE")
    path.write_bytes(b"no database at all" * 1000)
    _refused(house.root / "bank-a", "LF-KEYS-DATABASE")


def test_no_keys_no_start(tmp_path: Path):
    """A directory without keys says how to make them."""
    _refused(tmp_path / "nothing", "LF-KEYS-MISSING")


def test_the_pinned_directory_outlives_a_restart(house: House):
    """A node's database that was replaced cannot roll the key service back, nor give it another enrolment."""
    first, second = house.document, house.sign("directory", house.body(2, house.directory.sha256), "centre", "police-a")
    house.services["bank-a"].install_directory(second)
    third_body = house.body(3, house.services["bank-a"]._pins.directory().sha256)
    third = house.sign("directory", third_body, "centre", "police-a")
    house.services["bank-a"].install_directory(third)
    service = house.start("bank-a")
    own = house.sign("directory", house.body(1), "bank-b", "police-b")
    for document in (first, own):
        with pytest.raises(DirectoryRefused):
            service.install_directory(document)
    for document in (second, third):  # the present one and, for a node that died in between, the one before
        service.install_directory(document)
    assert service._pins.directory().serial == 3


def test_the_pinned_policy_outlives_a_restart(house: House):
    """After a restart an older bundle, or another of the same serial, is refused; the successor is taken."""
    serial_1 = house.services["bank-a"]._pins.bundle().sha256
    successor = build_body(POLICY, 2, serial_1, NOW_MS - 1000, NOW_MS + 80 * 86_400_000)
    house.services["bank-a"].install_policy(house.sign("policy", successor, "centre", "police-a"))
    service = house.start("bank-a")
    assert service._pins.bundle().serial == 2
    other = build_body(POLICY, 1, b"", NOW_MS - 1000, NOW_MS + 70 * 86_400_000)
    with pytest.raises(PolicyError):
        service.install_policy(house.sign("policy", other, "centre", "police-a"))
    service.install_policy(house.policy)
    assert service._pins.bundle().serial == 2


def test_an_expired_directory_is_judged_by_no_more(house: House):
    """Past the directory's expiry nothing is sealed or taken in until a successor in force comes."""
    document = house.sign("directory", house.body(2, house.directory.sha256), "centre", "police-a")
    service = house.services["bank-a"]
    house.clock.at_ms = NOW_MS + 91 * 86_400_000
    with pytest.raises(Retry) as caught:
        service.seal([seal_request()])
    assert caught.value.code == "LF-KEYS-DIRECTORY-EXPIRED"
    service.install_directory(document)  # a step towards its own successor: it is over its time itself
    with pytest.raises(Retry):
        service.seal([seal_request()])
    third = house.body(3, sha256(federation_pb2.Directory.FromString(document).body).digest())
    service.install_directory(house.sign("directory", third, "centre", "police-a"))
    assert service.seal([seal_request()])
