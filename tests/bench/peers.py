"""What peers do with the same notice, for bench_peers: each signs too, for none of them says by itself who sent it.

Each is used as its documentation shows, with keys at hand and no network, which favours it. Values of the classed fields are
texts, for not every peer takes numbers; they stand in four compartments, as ours do.
"""

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from nacl.bindings import crypto_sign_open

COMPARTMENTS = (
    ("account", "next_hop", "payee"),
    ("name", "id_number", "phone"),
    ("balance", "flow"),
    ("device", "story"),
)
CLEAR = tuple(f"clear_{number}" for number in range(15))
FIELDS = (*(name for part in COMPARTMENTS for name in part), *CLEAR)
_SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class Peer:
    """One way to protect a notice: what it is called, and both directions of it."""

    name: str
    seal: Callable[[Message], Any]
    open: Callable[[Any], Message]


def notice_type() -> type[Message]:
    """Return a message of 25 texts, ten of them classed."""
    file = descriptor_pb2.FileDescriptorProto(name="peer_notice.proto", package="peer", syntax="proto3")
    made = file.message_type.add(name="Notice")
    for number, name in enumerate(FIELDS, start=1):
        made.field.add(name=name, number=number, type=9, label=1)
    pool = descriptor_pool.Default()
    pool.Add(file)
    kind: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName("peer.Notice"))
    return kind


def filled(kind: type[Message], number: int) -> Message:
    """Return a notice of which every field has 16 characters."""
    return kind(**{name: f"{name[:8]:_<8}{number:08d}" for name in FIELDS})


class _Signing:
    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self._public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data) + data

    def check(self, signed: bytes) -> bytes:
        crypto_sign_open(signed, self._public)
        return signed[_SIGNATURE_BYTES:]


def clear(kind: type[Message], _: int) -> Peer:
    """Nothing but a signature."""
    keys = _Signing()
    return Peer(
        "in the clear + Ed25519",
        lambda message: keys.sign(message.SerializeToString()),
        lambda data: kind.FromString(keys.check(data)),
    )


def confluent(kind: type[Message], _: int) -> Peer:
    """Client-side field-level encryption: one key-encryption key per compartment, shared by all who read it."""
    from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
    from confluent_kafka.schema_registry.rules.encryption.encrypt_executor import FieldEncryptionExecutor
    from confluent_kafka.schema_registry.rules.encryption.localkms.local_driver import LocalKmsDriver
    from confluent_kafka.schema_registry.schema_registry_client import SchemaRegistryClient
    from confluent_kafka.serialization import MessageField, SerializationContext

    LocalKmsDriver.register()
    FieldEncryptionExecutor.register()
    registry = SchemaRegistryClient.new_client({"url": "mock://"})
    registry.register_schema("notices-value", _confluent_schema(kind))
    conf = {"auto.register.schemas": False, "use.latest.version": True}
    secret = {"secret": "a secret of the bench"}
    serializer = ProtobufSerializer(kind, registry, conf, rule_conf=secret)
    deserializer = ProtobufDeserializer(kind, {"use.latest.version": True}, registry, rule_conf=secret)
    place, keys = SerializationContext("notices", MessageField.VALUE), _Signing()

    def seal(message: Message) -> bytes:
        mine = kind()
        mine.CopyFrom(message)  # it encrypts the caller's own message
        return keys.sign(serializer(mine, place))

    return Peer("Confluent CSFLE, 4 KEKs + Ed25519", seal, lambda data: deserializer(keys.check(data), place))


def _confluent_schema(kind: type[Message]) -> Any:
    """Return the schema with its tags, and a rule that encrypts each compartment's."""
    from confluent_kafka.schema_registry import Metadata, MetadataTags, Rule, RuleParams, RuleSet, Schema
    from confluent_kafka.schema_registry import RuleKind as Kind
    from confluent_kafka.schema_registry import RuleMode as Mode

    tags = {f"peer.Notice.{name}": [f"C{number}"] for number, part in enumerate(COMPARTMENTS) for name in part}
    rules = [
        Rule(
            name=f"encrypt{number}",
            doc="",
            kind=Kind.TRANSFORM,
            mode=Mode.WRITEREAD,
            type="ENCRYPT",
            tags=[f"C{number}"],
            params=RuleParams(
                {
                    "encrypt.kek.name": f"kek{number}",
                    "encrypt.kms.type": "local-kms",
                    "encrypt.kms.key.id": f"key{number}",
                }
            ),
            expr=None,
            on_success=None,
            on_failure="ERROR,ERROR",
            disabled=False,
        )
        for number in range(len(COMPARTMENTS))
    ]
    file = descriptor_pb2.FileDescriptorProto()
    kind.DESCRIPTOR.file.CopyToProto(file)
    text = base64.b64encode(file.SerializeToString()).decode()
    return Schema(text, "PROTOBUF", [], Metadata(MetadataTags(tags), None, None), RuleSet(None, rules))


def tink(kind: type[Message], recipients: int) -> Peer:
    """Tink: a fresh AEAD key per compartment, hybrid-encrypted to each recipient; each field by it, its name bound."""
    import tink as library
    from tink import aead, cleartext_keyset_handle, hybrid

    aead.register()
    hybrid.register()
    template = hybrid.hybrid_key_templates.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM
    handles = [library.new_keyset_handle(template) for _ in range(recipients)]
    to = [handle.public_keyset_handle().primitive(hybrid.HybridEncrypt) for handle in handles]
    own, keys = handles[0].primitive(hybrid.HybridDecrypt), _Signing()

    def seal(message: Message) -> bytes:
        values = {name: getattr(message, name) for name in CLEAR}
        wraps = []
        for number, part in enumerate(COMPARTMENTS):
            handle = library.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
            box = handle.primitive(aead.Aead)
            for name in part:
                values[name] = base64.b64encode(box.encrypt(getattr(message, name).encode(), name.encode())).decode()
            kept = io.BytesIO()
            cleartext_keyset_handle.write(library.BinaryKeysetWriter(kept), handle)
            wraps.append([base64.b64encode(item.encrypt(kept.getvalue(), b"%d" % number)).decode() for item in to])
        return keys.sign(json.dumps({"wraps": wraps, "values": values}).encode())

    def open_(data: bytes) -> Message:
        held = json.loads(keys.check(data))
        for number, part in enumerate(COMPARTMENTS):
            plain = own.decrypt(base64.b64decode(held["wraps"][number][0]), b"%d" % number)
            box = cleartext_keyset_handle.read(library.BinaryKeysetReader(plain)).primitive(aead.Aead)
            for name in part:
                held["values"][name] = box.decrypt(base64.b64decode(held["values"][name]), name.encode()).decode()
        return kind(**held["values"])

    return Peer("Tink hybrid (HPKE) + Ed25519", seal, open_)


def jose(kind: type[Message], recipients: int) -> Peer:
    """jwcrypto: one JWE per compartment in general JSON, to each recipient's X25519 key."""
    from jwcrypto import jwe, jwk

    own = [jwk.JWK.generate(kty="OKP", crv="X25519") for _ in range(recipients)]
    public = [jwk.JWK.from_json(key.export_public()) for key in own]
    head, keys = json.dumps({"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}), _Signing()
    protected = json.dumps({"enc": "A256GCM"})

    def seal(message: Message) -> bytes:
        boxes = []
        for part in COMPARTMENTS:
            plain = json.dumps({name: getattr(message, name) for name in part}).encode()
            box = jwe.JWE(plain, protected=protected)
            for key in public:
                box.add_recipient(key, header=json.dumps({"alg": json.loads(head)["alg"]}))
            boxes.append(box.serialize())
        return keys.sign(
            json.dumps({"boxes": boxes, "clear": {name: getattr(message, name) for name in CLEAR}}).encode()
        )

    def open_(data: bytes) -> Message:
        held = json.loads(keys.check(data))
        values = held["clear"]
        for text in held["boxes"]:
            box = jwe.JWE()
            box.deserialize(text, key=own[0])
            values |= json.loads(box.payload)
        return kind(**values)

    return Peer("jwcrypto JWE + Ed25519", seal, open_)


def aws(kind: type[Message], recipients: int) -> Peer:
    """AWS Encryption SDK: one message per compartment, a raw AES keyring for each recipient."""
    import aws_encryption_sdk
    from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
    from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
    from aws_cryptographic_material_providers.mpl.models import (
        AesWrappingAlg,
        CreateMultiKeyringInput,
        CreateRawAesKeyringInput,
    )

    client = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=aws_encryption_sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )
    library = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    rings = [
        library.create_raw_aes_keyring(
            input=CreateRawAesKeyringInput(
                key_namespace="bench",
                key_name=f"recipient {number}",
                wrapping_key=bytes([number]) * 32,
                wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
            )
        )
        for number in range(recipients)
    ]
    ring = library.create_multi_keyring(input=CreateMultiKeyringInput(generator=rings[0], child_keyrings=rings[1:]))
    algorithm, keys = aws_encryption_sdk.Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, _Signing()

    def seal(message: Message) -> bytes:
        boxes = []
        for number, part in enumerate(COMPARTMENTS):
            plain = json.dumps({name: getattr(message, name) for name in part}).encode()
            context = {"compartment": str(number)}
            box, _ = client.encrypt(source=plain, keyring=ring, encryption_context=context, algorithm=algorithm)
            boxes.append(base64.b64encode(box).decode())
        return keys.sign(
            json.dumps({"boxes": boxes, "clear": {name: getattr(message, name) for name in CLEAR}}).encode()
        )

    def open_(data: bytes) -> Message:
        held = json.loads(keys.check(data))
        values = held["clear"]
        for number, box in enumerate(held["boxes"]):
            context = {"compartment": str(number)}
            plain, _ = client.decrypt(source=base64.b64decode(box), keyring=rings[0], encryption_context=context)
            values |= json.loads(plain)
        return kind(**values)

    return Peer("AWS Encryption SDK, per compartment + Ed25519", seal, open_)


def peers(kind: type[Message], recipients: int) -> Iterator[Peer]:
    """Yield the peers that are installed; a peer that is not is left out."""
    for make in (clear, confluent, tink, jose, aws):
        try:
            yield make(kind, recipients)
        except ImportError:
            continue
