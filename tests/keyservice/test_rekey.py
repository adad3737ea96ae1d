"""A new key-encryption key: under another guard or the same, whole or not at all, whenever it is killed."""

import json
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import LargeBinary

from bus import config
from bus.errors import BusError
from bus.keyservice import keyfile, providers
from bus.keyservice.rekey import STEPS, Rekeyed, rekey
from bus.keyservice.service import KeyService
from bus.keyservice.vault import Vault
from bus.keyservice.vault_tables import SEALED_TABLES, metadata
from bus.randomness import SystemRandomness
from tests.cli.conftest import lianfang
from tests.keyservice.house import House, seal_request
from tests.keyservice.test_guards import PASSPHRASE, secret_file
from tests.keyservice.tokens import PIN, Tokens

ROOT = Path(__file__).parents[2]
RANDOM = SystemRandomness()
COMMITTED = STEPS.index("committed")


def contents(directory: Path, settings: config.Keys) -> dict[str, bytes | None]:
    """Open a vault with its guards; return every secret and pin in it."""
    vault = Vault(directory, RANDOM, providers.make_all(settings, directory, RANDOM))
    try:
        found: dict[str, bytes | None] = {name: vault.get(name) for name in vault.names("")}
        return found | {f"pin {name}": vault.pinned(name) for name in ("directory", "policy")}
    finally:
        vault.close()


@pytest.fixture
def settings(tokens: Tokens, tmp_path: Path) -> config.Keys:
    """The token in force, and no guard before it."""
    return config.Keys.model_validate({**token_guard(tokens, tmp_path), "former": {}})


def token_guard(tokens: Tokens, directory: Path) -> dict:
    """A guard by SoftHSM's token, as node.toml has it."""
    pin = secret_file(directory / "pin", PIN)
    return {"provider": "pkcs11", "pkcs11": {"module": str(tokens.module), "token": "agency", "key": "kek", "pin": pin}}


@pytest.fixture
def vault(house: House, tmp_path: Path) -> Path:
    """A vault with grants, class keys and pins, under no guard, in a node's directory."""
    service = house.services["bank-a"]
    service.seal([seal_request(number) for number in range(3)])
    service.close()
    house.services.pop("bank-a")
    (tmp_path / "node").mkdir()
    (house.root / "bank-a").rename(tmp_path / "node" / "keys")
    return tmp_path / "node" / "keys"


def test_killed_at_any_step_it_opens_under_the_old_key_or_the_new(vault: Path, settings: config.Keys, tmp_path: Path):
    """Killed at each step, every secret is there under exactly one of the two keys, and calling it again finishes it."""
    before = contents(vault, config.Keys())
    assert len([name for name in before if name.startswith("class/")]) == 4
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-m", "tests.keyservice.killed", str(vault), str(out), settings.model_dump_json()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    old, new = config.Keys(), settings.model_copy(update={"former": None})
    for step in (*STEPS, "done"):
        is_new = step == "done" or STEPS.index(step) >= COMMITTED
        right, wrong = (new, old) if is_new else (old, new)
        keys = out / step / "keys"
        with pytest.raises(BusError) as caught:
            contents(keys, wrong)
        assert caught.value.code == "LF-KEYS-PROVIDER", step
        assert contents(keys, right) == before, step
        again = rekey(out / step, settings, RANDOM)
        assert (again.generation, again.provider) == (3 if is_new else 2, "pkcs11"), step
        assert contents(keys, new) == before, step
        assert not (keys / keyfile.NEXT_NAME).exists(), step


def test_nothing_under_the_old_key_is_left(vault: Path, settings: config.Keys):
    """After it the old key opens nothing: neither key file nor database holds what lay under it."""
    with sqlite3.connect(vault / "keys.db") as connection:
        old = [row[0] for row in connection.execute("SELECT sealed FROM secrets UNION ALL SELECT sealed FROM pins")]
    connection.close()
    wrapped = keyfile.read(vault / keyfile.NAME).wrapped
    done = rekey(vault.parent, settings, RANDOM)
    assert done == Rekeyed("pkcs11", "unprotected-file", 2, len(old), dry_run=False)
    files = {path.name: path.read_bytes() for path in vault.iterdir()}
    assert not [name for name, data in files.items() for piece in (*old, wrapped) if piece[:40] in data]


def test_every_sealed_column_is_encrypted_anew():
    """No table of the vault with something sealed in it is left out."""
    sealed = {table.name for table in metadata.tables.values() if "sealed" in table.c}
    assert sealed == {table.name for table, _ in SEALED_TABLES}
    known = {"id", "proof", "sealed", "grant_id", "plan", "document", "token_digest"}
    binary = {
        column.name for table in metadata.tables.values() for column in table.c if isinstance(column.type, LargeBinary)
    }
    assert binary <= known, "a new column: is it a secret? then seal it, and name its table in SEALED_TABLES"


def test_from_guard_to_guard_the_service_goes_on(vault: Path, tokens: Tokens, house: House):
    """From no guard to a passphrase, to another passphrase, to a token: each time the same agency with the same keys."""
    node = vault.parent
    second = {"source": secret_file(node / "second", "another horse battery staple")}
    first = {"source": secret_file(node / "first", PASSPHRASE)}
    stages = [
        {"provider": "unprotected-file"},
        {"provider": "passphrase", "passphrase": first},
        {"provider": "passphrase", "passphrase": second},
        token_guard(tokens, node),
    ]
    keys = None
    for former, stage in pairwise(stages):
        settings = config.Keys.model_validate({**stage, "former": former})
        rekey(node, settings, RANDOM)
        guards = providers.make_all(config.Keys.model_validate(stage), node, RANDOM)
        service = KeyService(vault, house.clock, RANDOM, lambda _: None, guards=guards)
        assert service.public_keys() == (keys or service.public_keys())
        keys = service.public_keys()
        service.close()
    assert keyfile.read(vault / keyfile.NAME).generation == 4


def test_a_guard_that_fails_leaves_everything_as_it_was(vault: Path, settings: config.Keys, tmp_path: Path):
    """Where the new guard gives nothing, or the old one is not named, nothing is changed."""
    before = {path.name: path.read_bytes() for path in vault.iterdir()}
    (tmp_path / "pin").unlink()
    for wrong, code in (
        (settings, "LF-KEYS-NO-SECRET"),
        (settings.model_copy(update={"former": None}), "LF-KEYS-PROVIDER"),
    ):
        with pytest.raises(BusError) as caught:
            rekey(vault.parent, wrong, RANDOM)
        assert caught.value.code == code
    after = {path.name: path.read_bytes() for path in vault.iterdir()}
    assert {name: after[name] for name in (keyfile.NAME, "keys.db")} == {
        name: before[name] for name in (keyfile.NAME, "keys.db")
    }


def test_the_command_needs_the_vault_for_itself(vault: Path):
    """`lianfang keys rekey` refuses while a key service runs, says with --dry-run what it would do, and does it."""
    node = vault.parent
    secret_file(node / "passphrase", PASSPHRASE)
    (node / "node.toml").write_text(
        f'agency = "bank-a"\n[keys]\nprovider = "passphrase"\nformer = {{provider = "unprotected-file"}}\n'
        f'[keys.passphrase]\nsource = "file:{node / "passphrase"}"\n'
    )
    running = Vault(vault, RANDOM)
    assert lianfang("keys", "rekey", "--dir", node, "--json").value["code"] == "LF-KEYS-IN-USE"
    running.close()
    would = lianfang("keys", "rekey", "--dir", node, "--json", "--dry-run")
    assert (would.code, would.value["dry_run"], would.value["generation"]) == (0, True, 2)
    assert keyfile.read(vault / keyfile.NAME).provider == "unprotected-file"
    assert "Would encrypt" in lianfang("keys", "rekey", "--dir", node, "--dry-run").out
    done = lianfang("keys", "rekey", "--dir", node)
    assert (done.code, "guarded by passphrase" in done.out) == (0, True)
    assert json.loads((vault / keyfile.NAME).read_text())["parameters"]["memory_mib"] == 64


def test_a_waiting_key_file_of_an_attempt_that_died_is_never_taken_for_the_vaults(vault: Path):
    """A next key file that the database knows nothing of is no way in, and is written over by the next attempt."""
    before = contents(vault, config.Keys())
    shutil.copy(vault / keyfile.NAME, vault / keyfile.NEXT_NAME)
    assert contents(vault, config.Keys()) == before
    rekey(vault.parent, config.Keys(), RANDOM)
    assert keyfile.read(vault / keyfile.NAME).generation == 2
    assert not (vault / keyfile.NEXT_NAME).exists()
