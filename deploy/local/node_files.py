"""The files and environment of a private RabbitMQ node: everything in one folder, every listener on loopback."""

import os
from dataclasses import dataclass
from pathlib import Path

from bus.transport.topology import MESSAGE_BYTES_MAX
from deploy.local.certificates import Authority, Identity

_ERLANG_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"


@dataclass(frozen=True)
class Ports:
    """The node's ports on 127.0.0.1: AMQP over TLS, management, Erlang's port mapper and distribution."""

    amqps: int
    management: int
    epmd: int
    distribution: int


def write(directory: Path, ports: Ports, authority: Authority, definitions: str) -> None:
    """Write the node's configuration. The Erlang cookie, which is all power over the node, is its owner's alone."""
    server = authority.server()
    (directory / "rabbitmq.conf").write_text(
        _rabbitmq_conf(directory, ports, _relative(directory, server)), encoding="utf-8"
    )
    (directory / "advanced.config").write_text(
        _advanced_config(_relative(directory, server), authority.revocation_directory.relative_to(directory)),
        encoding="utf-8",
    )
    plugins = ["rabbitmq_auth_mechanism_ssl", *(["rabbitmq_management"] if has_management(directory) else [])]
    (directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n", encoding="utf-8")
    (directory / "rabbitmq-env.conf").write_text("# so that /etc/rabbitmq is not read\n", encoding="utf-8")
    (directory / "definitions.json").write_text(definitions, encoding="utf-8")
    (directory / "log").mkdir(exist_ok=True)


def has_management(directory: Path) -> bool:
    """Say whether the node runs the management plugin: it does not start where the path is not ASCII (3.10.8)."""
    return str(directory).isascii()


def environment(directory: Path, node: str, ports: Ports) -> dict[str, str]:
    """Return the whole environment for the server, epmd and rabbitmqctl: nothing is taken over but the search path.

    Paths are relative to the folder, which is the working directory: RabbitMQ stumbles over Chinese characters in them.
    """
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "LIANFANG_BROKER": str(directory),  # whose it is, for whoever looks at the process
        "HOME": ".",  # Erlang's cookie is looked for here
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_BASE": ".",
        "RABBITMQ_MNESIA_BASE": "./data",
        "RABBITMQ_LOG_BASE": "./log",
        "RABBITMQ_LOGS": "./log/broker.log",
        "RABBITMQ_CONFIG_FILE": "./rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": "./advanced.config",
        "RABBITMQ_GENERATED_CONFIG_DIR": "./generated",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "./enabled_plugins",
        "RABBITMQ_CONF_ENV_FILE": "./rabbitmq-env.conf",
        "RABBITMQ_PID_FILE": "./broker.pid",
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ERLANG_LOOPBACK} -start_epmd false",
        "RABBITMQ_CTL_ERL_ARGS": f"{_ERLANG_LOOPBACK} -start_epmd false",
        # The script then becomes the node, instead of watching over it: one process, whose id we know.
        "RUNNING_UNDER_SYSTEMD": "true",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_CRASH_DUMP": "./log/erl_crash.dump",
    }


def _relative(directory: Path, identity: Identity) -> Identity:
    """Return the identity's files as seen from the node's working directory.

    The configuration's grammar takes no space, number sign or Chinese character in a path; ours may have them.
    """
    return Identity(
        identity.authority.relative_to(directory),
        identity.certificate.relative_to(directory),
        identity.key.relative_to(directory),
    )


def _rabbitmq_conf(directory: Path, ports: Ports, server: Identity) -> str:
    """Return rabbitmq.conf: only keys that every version from 3.10 to 4.x knows, for an unknown one stops the boot."""
    return f"""\
listeners.tcp = none
listeners.ssl.default = 127.0.0.1:{ports.amqps}
ssl_options.cacertfile = {server.authority}
ssl_options.certfile = {server.certificate}
ssl_options.keyfile = {server.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.depth = 2
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
ssl_handshake_timeout = 5000
handshake_timeout = 10000

auth_mechanisms.1 = EXTERNAL
ssl_cert_login_from = subject_alternative_name
ssl_cert_login_san_type = dns
ssl_cert_login_san_index = 0

heartbeat = 10
channel_max = 16
frame_max = 131072
max_message_size = {MESSAGE_BYTES_MAX}
connection_max = 2000
consumer_timeout = 1800000
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 500MB
raft.wal_max_size_bytes = 67108864

load_definitions = definitions.json
{_management_conf(ports) if has_management(directory) else ""}"""


def _management_conf(ports: Ports) -> str:
    return f"""\
management.disable_stats = true
management_agent.disable_metrics_collector = true
management.tcp.ip = 127.0.0.1
management.tcp.port = {ports.management}
"""


def _advanced_config(server: Identity, revocation: Path) -> str:
    """Return advanced.config: what 3.10 has no key for. It replaces the TLS options as a whole, so they stand here again."""
    return f"""\
[{{rabbit, [
  {{dead_letter_worker_publisher_confirm_timeout, 10000}},
  {{ssl_options, [
    {{cacertfile, "{server.authority}"}},
    {{certfile, "{server.certificate}"}},
    {{keyfile, "{server.key}"}},
    {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}, {{depth, 2}},
    {{versions, ['tlsv1.3', 'tlsv1.2']}},
    {{crl_check, true}},
    {{crl_cache, {{ssl_crl_hash_dir, {{internal, [{{dir, "{revocation}"}}]}}}}}}
  ]}}
]}}].
"""
