"""What `lianfang node doctor` looks at, in the order in which one thing needs another."""

import shutil
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus import config as configuration
from bus.cli import checkup
from bus.cli.checkup import Finding
from bus.cli.desk import Desk
from bus.config import NodeConfig
from bus.enrolment import DOCUMENTS, MEMBER_FILE, read_member
from bus.errors import BusError

_SPACE_BYTES_MIN = 256 * 1024 * 1024
_CONNECT_S = 5.0


def examine(desk: Desk) -> list[Finding]:
    """Look at everything; stop early only where nothing further can be seen."""
    try:
        config, _ = configuration.load(desk.directory)
    except BusError as error:
        return [_wrong("configuration", error)]
    findings = [Finding("configuration", ok=True, cause=f"{config.agency}, transport {config.transport}")]
    findings.append(checkup.permissions(config, desk.directory))
    if config.keys.apart is None:
        findings.append(_private(desk.directory))
    findings.append(checkup.key_guard(config))
    findings.append(_enrolled(config, desk.directory))
    findings.append(_space(desk.directory))
    findings.append(checkup.database(config, desk.directory))
    if config.transport == "rabbitmq":
        findings += checkup.certificates(config, desk.directory)
        findings.append(_broker(config, desk.directory))
    findings += _node(config, desk)
    return findings


def _wrong(name: str, error: BusError) -> Finding:
    return Finding(name, ok=False, cause=error.cause, cure=error.cure, code=error.code)


def _private(directory: Path) -> Finding:
    """Keys that others on the machine can read are no secret any more."""
    keys = directory / "keys"
    if not keys.is_dir():
        return Finding("keys", ok=False, cause="there are none", cure="`lianfang node init`", code="LF-DOCTOR-NO-KEYS")
    open_to_others = [path for path in (keys, *keys.rglob("*")) if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    if open_to_others:
        return Finding(
            "keys",
            ok=False,
            cause=f"{open_to_others[0].relative_to(directory)} is open to other users",
            cure=f"chmod -R go= {keys}; then ask who could read it, and make new keys if anybody could",
            code="LF-DOCTOR-KEYS-OPEN",
        )
    return Finding("keys", ok=True, cause="for their owner alone")


def _enrolled(config: NodeConfig, directory: Path) -> Finding:
    missing = [name for name in DOCUMENTS.values() if not (directory / name).exists()]
    if missing:
        return Finding(
            "enrolment",
            ok=False,
            cause=f"{' and '.join(missing)} missing",
            cure="`lianfang node enrol` with the signed documents from the centre",
            code="LF-NODE-NOT-ENROLLED",
        )
    try:
        own = read_member(directory / MEMBER_FILE).agency
    except BusError as error:
        return _wrong("enrolment", error)
    if own != config.agency:
        return Finding(
            "enrolment",
            ok=False,
            cause=f"the configuration names {config.agency}, the keys here are {own}'s",
            cure="give the agency its own name back, in node.toml or in the environment",
            code="LF-NODE-OTHER-NAME",
        )
    return Finding("enrolment", ok=True, cause="directory and policy are laid in")


def _space(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    text = f"{free // (1024 * 1024)} MiB free"
    if free < _SPACE_BYTES_MIN:
        return Finding(
            "disk",
            ok=False,
            cause=text,
            cure="free some: a full disk stops the log, and so the node",
            code="LF-CLI-DISK-FULL",
        )
    return Finding("disk", ok=True, cause=text)


def _broker(config: NodeConfig, directory: Path) -> Finding:
    """Shake hands as the node does. TLS 1.2, for there the broker's word on our certificate is part of the handshake."""
    broker = config.broker
    place = f"{broker.host}:{broker.port}"
    try:
        context = ssl.create_default_context(cafile=str(directory / broker.ca_file))
        context.load_cert_chain(directory / broker.certificate_file, directory / broker.key_file)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((broker.host, broker.port), timeout=_CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=broker.host) as secured,
        ):
            until = dict(secured.getpeercert() or {}).get("notAfter", "")
        return Finding("broker", ok=True, cause=f"{place} took our certificate; its own holds until {until}")
    except ssl.SSLError as error:
        return Finding(
            "broker",
            ok=False,
            cause=f"{place}: no TLS: {(error.reason or 'a certificate or key file is not in form').lower()}",
            cure="see that certificates are of the broker's authority and neither expired nor revoked",
            code="LF-DOCTOR-TLS",
        )
    except FileNotFoundError:
        return Finding(
            "broker",
            ok=False,
            cause="a certificate file of [broker] in node.toml is missing",
            cure="put ca_file, certificate_file and key_file where node.toml says; the private broker's lie below pki/ in its own "
            "directory",
            code="LF-DOCTOR-NO-CERTIFICATE",
        )
    except OSError as error:
        return Finding(
            "broker",
            ok=False,
            cause=f"{place} does not answer ({(error.strerror or type(error).__name__).lower()})",
            cure="start it (`lianfang broker start` for the private one), or mend [broker] in node.toml",
            code="LF-DOCTOR-BROKER-DOWN",
        )


def _node(config: NodeConfig, desk: Desk) -> Iterator[Finding]:
    try:
        status: dict[str, Any] = desk.ask("status", 10.0)
    except BusError as error:
        yield _wrong("node", error)
        return
    yield Finding("node", ok=True, cause=f"answers; log of {status['log']['entries']} entries")
    yield from checkup.key_service(config, desk.directory)
    if status["agency"] != config.agency:
        yield Finding(
            "node",
            ok=False,
            cause=f"the node that answers is {status['agency']}'s, the configuration names {config.agency}",
            cure="restart the node, or name another directory with --dir",
            code="LF-NODE-OTHER-NAME",
        )
    cosigned = status["log"]["cosigned"]
    behind = {name: size for name, size in cosigned.items() if not size}
    if cosigned and not behind:
        sizes = ", ".join(f"{name} has cosigned {size} entries" for name, size in cosigned.items())
        yield Finding("witnesses", ok=True, cause=sizes)
    if behind and status["log"]["entries"]:
        yield Finding(
            "witnesses",
            ok=False,
            cause=f"{', '.join(behind)} has cosigned nothing yet",
            cure="see that the auditor's node runs",
            code="LF-DOCTOR-NO-WITNESS",
        )
    yield from checkup.health(desk.ask("health", 10.0))
    down = [name for name, up in status["transport"]["connected"].items() if not up]
    if down:
        yield Finding(
            "transport",
            ok=False,
            cause=f"not connected: {', '.join(down)}",
            cure="see the broker above and the node's log",
            code="LF-DOCTOR-NOT-CONNECTED",
        )
