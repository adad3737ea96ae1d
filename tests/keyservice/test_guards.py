"""Who guards the key-encryption key: each provider gives back what it was given, and says what is wrong by its own code."""

import base64
import os
import pty
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from bus import config
from bus.errors import BusError
from bus.keyservice import keyfile, providers, unlocking
from bus.keyservice.providers import Provider
from bus.keyservice.providers.source import Source
from bus.keyservice.vault import Vault
from bus.randomness import SystemRandomness
from tests.keyservice import transit_stub
from tests.keyservice.tokens import PIN, Tokens

KEK = bytes(range(32))
PASSPHRASE = "correct horse battery staple"
RANDOM = SystemRandomness()
Make = Callable[..., Provider]


def secret_file(path: Path, text: str) -> str:
    """Write a secret for its owner alone; return its source."""
    path.write_text(text)
    path.chmod(0o400)
    return f"file:{path}"


def rewritten(source: str, text: str) -> None:
    """Put another secret in a file's place."""
    path = Path(source.removeprefix("file:"))
    path.unlink()
    secret_file(path, text)


@pytest.fixture
def passphrase(tmp_path: Path) -> Make:
    def make(**changes) -> Provider:
        source = changes.pop("source", None) or secret_file(tmp_path / "pass", changes.pop("text", PASSPHRASE) + "\n")
        return providers.make(guard("passphrase", source=source, **changes), tmp_path, RANDOM)

    return make


@pytest.fixture
def token(tmp_path: Path, tokens: Tokens) -> Make:
    def make(pin: str = PIN, **changes) -> Provider:
        settings = {"module": str(tokens.module), "token": "agency", "key": "kek", **changes}
        source = secret_file(tmp_path / f"pin-{secrets.token_hex(4)}", pin)
        return providers.make(guard("pkcs11", pin=source, **settings), tmp_path, RANDOM)

    return make


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[transit_stub.Stub]:
    with transit_stub.serve(tmp_path_factory.mktemp("transit")) as stub:
        yield stub


@pytest.fixture
def vault_server(running: transit_stub.Stub) -> Iterator[transit_stub.Stub]:
    running.keys = {("transit", "kek"): bytes(32), ("team/transit", "kek"): bytes([1]) * 32}
    yield running
    running.status, running.raw = 0, b""
    running.drips.clear()


@pytest.fixture
def transit(tmp_path: Path, vault_server: transit_stub.Stub) -> Make:
    def make(token: str = transit_stub.TOKEN, **changes) -> Provider:
        source = secret_file(tmp_path / f"token-{secrets.token_hex(4)}", token)
        ca = str(vault_server.identity.authority)
        settings = {"address": vault_server.address, "key": "kek", "ca_file": ca, "deadline_s": 20.0, **changes}
        return providers.make(guard("transit", token=source, **settings), tmp_path, RANDOM)

    return make


def guard(provider: str, **settings) -> config.Guard:
    return config.Guard.model_validate({"provider": provider, provider: settings})


def refused(call: Callable[[], object]) -> BusError:
    with pytest.raises(BusError) as caught:
        call()
    assert caught.value.cause
    assert caught.value.cure
    return caught.value


def parts(made: Provider) -> tuple[bytes, keyfile.Parameters, bytes]:
    """Wrap a key; return what unwrapping takes."""
    held = unlocking.wrap(bytes(16), 1, KEK, made)
    return held.wrapped, held.parameters, held.context


@pytest.mark.parametrize("kind", ["passphrase", "token", "transit"])
def test_what_is_wrapped_comes_back_and_only_as_it_was(kind: str, request: pytest.FixtureRequest):
    """Each guard gives the key back; not from a changed wrapping, nor for another vault; and the key is not in it."""
    made: Provider = request.getfixturevalue(kind)()
    wrapped, parameters, context = parts(made)
    assert made.unwrap(wrapped, parameters, context) == KEK
    assert KEK not in wrapped
    assert parts(made)[0] != wrapped
    changed = [(bytes([wrapped[0] ^ 1]) + wrapped[1:], context), (wrapped[:20], context), (b"", context)]
    changed += [(wrapped[:40] + bytes([wrapped[40] ^ 1]) + wrapped[41:], context), (wrapped, context + b"x")]
    codes = {refused(lambda it=it: made.unwrap(it[0], parameters, it[1])).code for it in changed}
    assert codes == {
        {
            "passphrase": "LF-KEYS-PASSPHRASE",
            "token": "LF-KEYS-TOKEN-OTHER-KEY",
            "transit": "LF-KEYS-TRANSIT-OTHER-KEY",
        }[kind]
    }


@pytest.mark.parametrize("kind", ["passphrase", "token", "transit"])
def test_a_vault_opens_with_its_guard_and_no_other(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    """A vault under each guard opens with it again, and not with the unprotected one; its files hold no secret in the clear."""
    made: Provider = request.getfixturevalue(kind)()
    Vault.create(tmp_path / "keys", RANDOM, {"signing": KEK}, made)
    vault = Vault(tmp_path / "keys", RANDOM, (made,))
    assert (vault.get("signing"), vault.provider) == (KEK, made.name)
    vault.close()
    assert refused(lambda: Vault(tmp_path / "keys", RANDOM)).code == "LF-KEYS-PROVIDER"
    assert not [path for path in (tmp_path / "keys").iterdir() if KEK in path.read_bytes()]


def test_a_wrong_passphrase_and_a_changed_key_file_look_the_same(passphrase: Make, tmp_path: Path):
    """Neither says which it was: whoever may ask learns nothing of the passphrase from a file of his own."""
    made = passphrase()
    wrapped, parameters, context = parts(made)
    changed = refused(lambda: made.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), parameters, context))
    rewritten(f"file:{tmp_path / 'pass'}", "another horse battery staple")
    other = refused(lambda: made.unwrap(wrapped, parameters, context))
    assert (changed.code, changed.cause, changed.cure) == (other.code, other.cause, other.cure)
    assert other.code == "LF-KEYS-PASSPHRASE"


@pytest.mark.parametrize(
    "change",
    [
        {"memory_mib": 63},
        {"memory_mib": 1 << 20},
        {"passes": 2},
        {"passes": 10**9},
        {"lanes": 0},
        {"lanes": "4"},
        {"salt": "00"},
        {"salt": "zz"},
        {"more": 1},
    ],
)
def test_a_key_file_cannot_ask_for_a_weak_or_endless_argon2(passphrase: Make, change: dict):
    """Cost outside the bounds is refused before any memory is filled, whatever the key file says."""
    wrapped, parameters, context = parts(passphrase())
    assert refused(lambda: passphrase().unwrap(wrapped, parameters | change, context)).code == "LF-KEYS-ARGON2"


def test_weak_settings_are_refused_where_they_are_written():
    """node.toml cannot ask for less than RFC 9106's second setting, nor name a guard without its table."""
    for change in ({"memory_mib": 32}, {"passes": 1}, {"source": "literally-this"}, {"source": "env:PASSPHRASE"}):
        with pytest.raises(ValidationError):
            guard("passphrase", **{"source": "prompt", **change})
    with pytest.raises(ValidationError):
        config.Guard(provider="pkcs11")
    with pytest.raises(ValidationError):
        guard("transit", address="http://vault.example", key="kek", token="prompt")


def test_a_short_passphrase_is_refused_when_it_is_set(passphrase: Make):
    """Eleven bytes guard nothing; they are refused when a key is wrapped."""
    assert refused(lambda: parts(passphrase(text="x" * 11))).code == "LF-KEYS-PASSPHRASE-SHORT"
    parts(passphrase(text="x" * 12))


def test_a_secret_that_others_can_read_is_none(tmp_path: Path):
    """A file that others can read or write, a link, a directory, an empty or endless one gives no secret."""
    path = tmp_path / "secret"
    for mode in (0o440, 0o404, 0o620):
        path.write_text("secret")
        path.chmod(mode)
        assert refused(Source("file:secret", tmp_path, "PIN").read).code == "LF-KEYS-SECRET-OPEN"
        path.unlink()
    secret_file(tmp_path / "other", "secret")
    path.symlink_to(tmp_path / "other")
    (tmp_path / "folder").mkdir(mode=0o700)
    secret_file(tmp_path / "empty", "\n")
    secret_file(tmp_path / "endless", "x" * 5000)
    for name in ("secret", "empty", "endless", "missing"):
        assert refused(Source(f"file:{name}", tmp_path, "PIN").read).code == "LF-KEYS-NO-SECRET"
    assert refused(Source("file:folder", tmp_path, "PIN").read).code == "LF-KEYS-SECRET-OPEN"


def test_every_source_gives_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A credential, a file and a descriptor give the same secret, without its line's end; a descriptor only once."""
    secret_file(tmp_path / "lf-kek", PASSPHRASE + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE.encode() + b"\r\n")
    os.close(writing)
    inherited = Source(f"descriptor:{reading}", tmp_path, "passphrase")
    for source in (
        Source("credential:lf-kek", tmp_path, "passphrase"),
        Source("file:lf-kek", tmp_path, "passphrase"),
        inherited,
        inherited,
    ):
        assert source.read() == PASSPHRASE.encode()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    for text in (f"descriptor:{reading}", "credential:lf-kek"):
        assert refused(Source(text, tmp_path, "passphrase").read).code == "LF-KEYS-NO-SECRET"


def _typed(words: bytes, *, is_new: bool) -> bytes:
    """Read from a prompt in a process of its own whose terminal gives these words; return what it said."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            said = Source("prompt", Path("/"), "passphrase").read(is_new=is_new)
        except BusError as error:
            said = error.code.encode()
        os.write(1, b"<" + said + b">\n")
        os._exit(0)
    seen = b""
    try:
        for word in words.splitlines(keepends=True):
            asked = seen.count(b": ")
            while seen.count(b": ") == asked:
                seen += os.read(terminal, 1024)
            os.write(terminal, word)
        while b">" not in seen:
            seen += os.read(terminal, 1024)
    finally:
        os.waitpid(pid, 0)
        os.close(terminal)
    return seen.partition(b"<")[2].partition(b">")[0]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # fork beside pytest's threads: the child does nothing with them
def test_a_prompt_asks_a_new_secret_twice():
    """On a terminal a passphrase is asked without echo; a new one twice, and two that differ are refused."""
    assert _typed(b"open sesame\n", is_new=False) == b"open sesame"
    assert _typed(b"open sesame\nopen sesame\n", is_new=True) == b"open sesame"
    assert _typed(b"open sesame\nopen sesami\n", is_new=True) == b"LF-KEYS-NO-SECRET"


def test_a_guard_that_lies_is_found_before_anything_is_changed(tmp_path: Path):
    """A guard that gives back another key is refused when it wraps, and leaves nothing behind."""

    class Liar(type(providers.make(config.Guard(), Path(), RANDOM))):
        def unwrap(self, wrapped, parameters, context):
            return bytes(32)

    assert refused(lambda: Vault.create(tmp_path / "keys", RANDOM, {"a": b"b"}, Liar())).code == "LF-KEYS-GUARD"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pin": "0000"}, "LF-KEYS-PIN-WRONG"),
        ({"token": "locked"}, "LF-KEYS-PIN-LOCKED"),
        ({"token": "last-try"}, "LF-KEYS-PIN-LAST-TRY"),
        ({"token": "unplugged"}, "LF-KEYS-TOKEN-MISSING"),
        ({"key": "nothing"}, "LF-KEYS-TOKEN-KEY"),
        ({"key": "twice"}, "LF-KEYS-TOKEN-KEY"),
        ({"key": "extractable"}, "LF-KEYS-TOKEN-WEAK"),
        ({"module": "/nowhere/libvendor.so"}, "LF-KEYS-TOKEN-MODULE"),
        ({"module": "/etc/passwd"}, "LF-KEYS-TOKEN-MODULE"),
        ({"pin": "é"}, "LF-KEYS-NO-SECRET"),
    ],
)
def test_a_token_that_does_not_serve_says_why(token: Make, changes: dict, code: str):
    """Wrong, locked or nearly locked PIN, missing token, key or module, a key that can be taken out: a code for each."""
    error = refused(lambda: parts(token(**changes)))
    assert error.code == code
    assert "0000" not in error.cause + error.cure


def test_the_last_try_of_a_pin_is_left_to_a_person(token: Make, tokens: Tokens):
    """A token that would lock itself at one more wrong PIN is not asked; the right PIN by hand makes it serve again."""
    assert refused(lambda: parts(token(token="last-try", pin="0000"))).code == "LF-KEYS-PIN-LAST-TRY"
    before = tokens.flags("last-try")
    assert refused(lambda: parts(token(token="last-try"))).code == "LF-KEYS-PIN-LAST-TRY"
    assert tokens.flags("last-try") == before


def test_another_key_of_the_same_name_does_not_open(token: Make):
    """A wrapping by one key of the token is not opened by another."""
    wrapped, _, context = parts(token())
    other = token(key="other")
    assert refused(lambda: other.unwrap(wrapped, other.parameters(), context)).code == "LF-KEYS-TOKEN-OTHER-KEY"
    assert not other.made(token().parameters())


@pytest.mark.parametrize(
    ("changes", "code", "exit_code"),
    [
        ({"token": "hvs.other"}, "LF-KEYS-TRANSIT-DENIED", 2),
        ({"token": "two\nlines"}, "LF-KEYS-NO-SECRET", 2),
        ({"mount": "elsewhere"}, "LF-KEYS-TRANSIT-KEY", 2),
        ({"ca_file": ""}, "LF-KEYS-TRANSIT-TLS", 2),
        ({"address": "https://localhost:1"}, "LF-KEYS-TRANSIT-DOWN", 75),
    ],
)
def test_a_transit_engine_that_does_not_serve_says_why(transit: Make, changes: dict, code: str, exit_code: int):
    """A refused token, a missing mount, a certificate of another authority, nobody there: a code for each."""
    error = refused(lambda: parts(transit(**changes)))
    assert (error.code, error.exit_code) == (code, exit_code)
    assert "hvs." not in error.cause + error.cure


@pytest.mark.parametrize(
    ("status", "raw", "code"),
    [
        (503, b"", "LF-KEYS-TRANSIT-DOWN"),
        (429, b"", "LF-KEYS-TRANSIT-DOWN"),
        (307, b"", "LF-KEYS-TRANSIT-ANSWER"),
        (418, b"", "LF-KEYS-TRANSIT-ANSWER"),
        (200, b"<html>", "LF-KEYS-TRANSIT-ANSWER"),
        (200, b'{"data": {"plaintext": 1}}', "LF-KEYS-TRANSIT-ANSWER"),
        (200, b'{"data": {"plaintext": "AAAA"}}', "LF-KEYS-TRANSIT-OTHER-KEY"),
        (200, b"[" * 50_000, "LF-KEYS-TRANSIT-ANSWER"),
        (200, b" " * 70_000, "LF-KEYS-TRANSIT-DOWN"),
    ],
)
def test_what_no_transit_engine_answers_is_named(transit: Make, vault_server: transit_stub.Stub, status, raw, code):
    """A sealed server, a redirect, a page, an endless answer or another key's bytes open nothing and are told apart."""
    made = transit()
    wrapped, parameters, context = parts(made)
    vault_server.status, vault_server.raw = status, raw
    assert refused(lambda: made.unwrap(wrapped, parameters, context)).code == code


def test_a_transit_engine_that_drips_is_left_at_the_deadline(transit: Make, vault_server: transit_stub.Stub):
    """A server that sends a byte now and then does not hold anybody longer than the deadline."""
    made = transit(deadline_s=1.0)
    vault_server.drips.set()
    began = time.monotonic()
    assert refused(lambda: parts(made)).code == "LF-KEYS-TRANSIT-DOWN"
    assert time.monotonic() - began < 10


def test_the_transit_server_sees_neither_the_key_nor_a_secret(transit: Make, vault_server: transit_stub.Stub, tmp_path):
    """What a server is sent does not open the vault without the key file: the key-encryption key is not among it."""
    made = transit(namespace="agency", mount="team/transit")
    Vault.create(tmp_path / "keys", RANDOM, {"signing": b"s" * 32}, made)
    vault = Vault(tmp_path / "keys", RANDOM, (made,))
    held = keyfile.read(tmp_path / "keys" / keyfile.NAME)
    kek = made.unwrap(held.wrapped, held.parameters, held.context)
    vault.close()
    seen = b"".join(vault_server.bodies)
    for secret in (kek, b"s" * 32):
        assert not [form for form in (secret, secret.hex().encode(), _base64(secret)) if form in seen]
    assert vault_server.headers[-1]["X-Vault-Namespace"] == "agency"


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")[:-1]


def test_a_key_file_is_bound_to_its_vault(passphrase: Make, tmp_path: Path):
    """The key file of one vault does not pass for another's, though the passphrase is the same."""
    made = passphrase()
    for name in ("one", "two"):
        Vault.create(tmp_path / name, RANDOM, {"a": b"b"}, made)
    stolen = keyfile.read(tmp_path / "one" / keyfile.NAME)
    stolen.write(tmp_path / "two" / keyfile.NAME)
    assert refused(lambda: Vault(tmp_path / "two", RANDOM, (made,))).code == "LF-KEYS-OTHER-VAULT"
    mine = keyfile.read(tmp_path / "one" / keyfile.NAME)
    replace(stolen, vault=mine.vault, generation=2).write(tmp_path / "one" / keyfile.NAME)
    assert refused(lambda: Vault(tmp_path / "one", RANDOM, (made,))).code == "LF-KEYS-GENERATION"
