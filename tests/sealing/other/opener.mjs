// A second opener of the sealing format, suite 1, that shares no line, no library and no language with the first.
// It is written from docs/adr/0003-sealing.md and the comments of schemas/v1/envelope.proto, and needs nothing but Node's
// own modules. Reads one JSON question per line, writes one JSON answer per line:
//   {"envelope": hex, "recipient": name, "private_key": hex, "signers": {agency: {key id: public key}}, "grants": [hex]}
//   {"boxes": {compartment: hex}, "withheld": [compartment], "public_body": hex}  or  {"refused": why}
import { createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, verify } from "node:crypto";
import { createInterface } from "node:readline";

const bytes = (number, length) => {
  const out = Buffer.alloc(length);
  for (let at = length - 1, rest = BigInt(number); at >= 0; at -= 1, rest >>= 8n) out[at] = Number(rest & 255n);
  return out;
};
const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();
const hmac = (key, ...parts) => createHmac("sha256", key).update(Buffer.concat(parts)).digest();
const text = (value) => Buffer.from(value, "utf8");
class Refused extends Error {}
const need = (holds, why) => {
  if (!holds) throw new Refused(why);
};

// --- protobuf, strictly: one reading, one way to write it -------------------------------------------------------------
// Field number: name, kind, and whether it is repeated. Numbers that are not here are refused.
const FORMS = {
  Envelope: { 1: ["payload", "bytes"], 2: ["signature", "bytes"], 3: ["leafIndex", "uint32"], 4: ["batchSize", "uint32"],
    5: ["proof", "bytes"], 6: ["mlDsa", "bytes"] },
  Sealed: { 1: ["header", "bytes"], 2: ["publicBody", "bytes"], 3: ["boxes", "Box", true], 4: ["inlineGrant", "bytes"] },
  Box: { 1: ["compartment", "uint32"], 2: ["ciphertext", "bytes"] },
  Header: { 1: ["version", "uint32"], 2: ["suite", "uint32"], 3: ["salt", "bytes"], 4: ["messageId", "bytes"],
    5: ["type", "string"], 6: ["typeVersion", "uint32"], 7: ["sender", "string"], 8: ["senderKeyId", "bytes"],
    9: ["recipients", "string", true], 10: ["lane", "uint32"], 11: ["sentAt", "uint64"], 12: ["expiresAt", "uint64"],
    13: ["grantId", "bytes"], 14: ["sequence", "uint64"], 15: ["policySerial", "uint64"], 16: ["correlationId", "bytes"],
    17: ["causationId", "bytes"], 18: ["classPlan", "uint32"] },
  Grant: { 1: ["body", "bytes"], 2: ["wraps", "GrantWrap", true], 3: ["signature", "bytes"], 4: ["mlDsa", "bytes"] },
  GrantWrap: { 1: ["recipient", "string"], 2: ["keyId", "bytes"], 3: ["sealedKeys", "bytes"] },
  GrantBody: { 1: ["version", "uint32"], 2: ["suite", "uint32"], 3: ["sender", "string"], 4: ["senderKeyId", "bytes"],
    5: ["type", "string"], 6: ["recipients", "string", true], 7: ["policySerial", "uint64"], 8: ["retentionBucket", "string"],
    9: ["notBefore", "uint64"], 10: ["notAfter", "uint64"], 11: ["compartments", "GrantCompartment", true],
    12: ["nonce", "bytes"] },
  GrantCompartment: { 1: ["compartment", "uint32"], 2: ["classes", "uint32", true], 3: ["commitment", "bytes"],
    4: ["audience", "string", true] },
  ClassKeys: { 1: ["compartments", "uint32", true], 2: ["keys", "bytes"] },
};
const isNumber = (kind) => kind === "uint32" || kind === "uint64";

function varint(data, at, kind) {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    need(at < data.length, "cut within a number");
    const byte = data[at++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) {
      need(byte !== 0 || shift === 0n, "a number is padded");
      need(value < (kind === "uint64" ? 1n << 63n : 1n << 32n), "a number is too large");
      return [kind === "uint64" ? value : Number(value), at];
    }
  }
  throw new Refused("a number without end");
}

function value(kind, data) {
  if (kind === "bytes") return data;
  if (kind === "string") {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    } catch {
      throw new Refused("a text is not UTF-8");
    }
  }
  return parse(kind, data);
}

function packed(data, kind) {
  const found = [];
  for (let at = 0; at < data.length; ) {
    const [number, next] = varint(data, at, kind);
    found.push(number);
    at = next;
  }
  need(found.length, "an empty list is not written");
  return found;
}

function parse(form, data) {
  const fields = FORMS[form];
  const out = {};
  for (const [name, kind, repeated] of Object.values(fields))
    out[name] = repeated ? [] : kind === "bytes" ? Buffer.alloc(0) : kind === "string" ? "" : kind === "uint64" ? 0n : 0;
  let last = 0;
  for (let at = 0; at < data.length; ) {
    let tag;
    [tag, at] = varint(data, at, "uint32");
    const number = tag >>> 3;
    const [name, kind, repeated] = fields[number] ?? [];
    need(name, `${form} has no field ${number}`);
    const again = number === last;
    need(number > last || (again && repeated && !isNumber(kind)), "fields out of order, or one twice");
    last = number;
    if ((tag & 7) === 0) {
      need(isNumber(kind) && !repeated, "a field of another kind");
      [out[name], at] = varint(data, at, kind);
      need(out[name] !== 0 && out[name] !== 0n, "a default is not written");
      continue;
    }
    need((tag & 7) === 2 && (!isNumber(kind) || repeated), "a field of another kind");
    let length;
    [length, at] = varint(data, at, "uint32");
    need(at + length <= data.length, "cut within a field");
    const part = data.subarray(at, at + length);
    at += length;
    if (repeated) isNumber(kind) ? (out[name] = packed(part, kind)) : out[name].push(value(kind, part));
    else {
      need(length, "a default is not written");
      out[name] = value(kind, part);
    }
  }
  return out;
}

// --- signatures and the batch's tree (RFC 9162, 2.1.3.2) ------------------------------------------------------------
const SPKI_ED25519 = Buffer.from("302a300506032b6570032100", "hex");
const SPKI_X25519 = Buffer.from("302a300506032b656e032100", "hex");
const PKCS8_X25519 = Buffer.from("302e020100300506032b656e04220420", "hex");
const publicKey = (prefix, raw) => createPublicKey({ key: Buffer.concat([prefix, raw]), format: "der", type: "spki" });

function held(signers, sender, keyId, message, signature) {
  const key = signers[sender]?.[keyId.toString("hex")];
  need(key, "the sender's key is not known");
  const raw = Buffer.from(key, "hex");
  need(sha256(raw).subarray(0, 8).equals(keyId), "the key is not the one named");
  need(signature.length === 64 && verify(null, message, publicKey(SPKI_ED25519, raw), signature), "the sender did not sign this");
}

function root(payload, index, size, proof) {
  need(index < size && size <= 65536 && proof.length % 32 === 0 && proof.length <= 512, "no place in a batch");
  const node = (left, right) => sha256(Buffer.from([1]), left, right);
  let [position, last, hash] = [index, size - 1, sha256(Buffer.from([0]), text("lianfang/1 payload\0"), payload)];
  for (let at = 0; at < proof.length; at += 32) {
    const step = proof.subarray(at, at + 32);
    need(last !== 0, "the proof is too long");
    if (position & 1 || position === last) {
      hash = node(step, hash);
      while (position && !(position & 1)) [position, last] = [position >> 1, last >> 1];
    } else hash = node(hash, step);
    [position, last] = [position >> 1, last >> 1];
  }
  need(last === 0, "the proof is too short");
  return hash;
}

// --- HPKE, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180) ------------------------------------
const KEM_ID = Buffer.concat([text("KEM"), bytes(0x20, 2)]);
const HPKE_ID = Buffer.concat([text("HPKE"), bytes(0x20, 2), bytes(1, 2), bytes(2, 2)]);
const extract = (id, salt, label, secret) => hmac(salt, text("HPKE-v1"), id, text(label), secret);
const expand = (id, key, label, info, length) =>
  hmac(key, bytes(length, 2), text("HPKE-v1"), id, text(label), info, Buffer.from([1])).subarray(0, length);
const NONE = Buffer.alloc(0);

function gcm(key, nonce, sealed, associated) {
  need(sealed.length >= 16, "too short for its tag");
  const cipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  cipher.setAAD(associated);
  cipher.setAuthTag(sealed.subarray(-16));
  try {
    return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  } catch {
    throw new Refused("it does not open");
  }
}

function hpke(sealed, privateRaw, info) {
  const own = createPrivateKey({ key: Buffer.concat([PKCS8_X25519, privateRaw]), format: "der", type: "pkcs8" });
  const ownPublic = createPublicKey(own).export({ format: "der", type: "spki" }).subarray(-32);
  need(sealed.length > 48, "the wrap is too short");
  const ephemeral = sealed.subarray(0, 32);
  let shared;
  try {
    shared = diffieHellman({ privateKey: own, publicKey: publicKey(SPKI_X25519, ephemeral) });
  } catch {
    throw new Refused("the wrap's key is weak");
  }
  const secret = expand(KEM_ID, extract(KEM_ID, NONE, "eae_prk", shared), "shared_secret", Buffer.concat([ephemeral, ownPublic]), 32);
  const context = Buffer.concat([Buffer.from([0]), extract(HPKE_ID, NONE, "psk_id_hash", NONE), extract(HPKE_ID, NONE, "info_hash", info)]);
  const schedule = extract(HPKE_ID, secret, "secret", NONE);
  return gcm(expand(HPKE_ID, schedule, "key", context, 32), expand(HPKE_ID, schedule, "base_nonce", context, 12), sealed.subarray(32), NONE);
}

// --- grants and boxes ---------------------------------------------------------------------------------------------------
const ascending = (list) => list.every((item, at) => at === 0 || Buffer.compare(Buffer.from(`${list[at - 1]}`), Buffer.from(`${item}`)) < 0);
const same = (left, right) => left.length === right.length && left.every((item, at) => item === right[at]);

function granted(document, question) {
  need(document.length <= 256 * 1024, "the grant is too large");
  const grant = parse("Grant", document);
  const body = parse("GrantBody", grant.body);
  need(body.version === 1 && body.suite === 1 && grant.mlDsa.length === 0, "another version or suite");
  need(body.recipients.length && ascending(body.recipients) && body.nonce.length === 16, "the grant is not in form");
  need(0n < body.notBefore && body.notBefore < body.notAfter, "the grant is not in form");
  need(body.compartments.length && body.compartments.length <= 64, "the grant is not in form");
  const seen = new Set();
  body.compartments.forEach((item, at) => {
    need(item.compartment === at + 1 && item.commitment.length === 32, "the grant is not in form");
    need(item.classes.length && item.classes.every((name, place) => place === 0 || item.classes[place - 1] < name), "classes");
    need(item.audience.length && ascending(item.audience) && item.audience.every((name) => body.recipients.includes(name)), "audience");
    for (const name of item.classes) {
      need(!seen.has(name), "a class in two compartments");
      seen.add(name);
    }
  });
  const audience = [...new Set(body.compartments.flatMap((item) => item.audience))].sort((a, b) => Buffer.compare(text(a), text(b)));
  need(same(grant.wraps.map((item) => item.recipient), audience), "a wrap too many or too few");
  const wraps = grant.wraps.flatMap((item) => [text(item.recipient), item.keyId, item.sealedKeys]);
  const signed = Buffer.concat([text("lianfang/1 grant\0"), sha256(grant.body), sha256(...wraps.flatMap((part) => [bytes(part.length, 4), part]))]);
  held(question.signers, body.sender, body.senderKeyId, signed, grant.signature);
  const keys = new Map();
  const ours = body.compartments.filter((item) => item.audience.includes(question.recipient));
  if (ours.length) {
    const wrap = grant.wraps.find((item) => item.recipient === question.recipient);
    const info = Buffer.concat([text("lianfang/1 wrap\0"), sha256(grant.body), text(question.recipient)]);
    const plain = parse("ClassKeys", hpke(wrap.sealedKeys, Buffer.from(question.private_key, "hex"), info));
    need(same(plain.compartments, ours.map((item) => item.compartment)) && plain.keys.length === 32 * ours.length, "other keys than granted");
    ours.forEach((item, at) => {
      const key = plain.keys.subarray(32 * at, 32 * at + 32);
      const committed = sha256(text("lianfang/1 commitment\0"), Buffer.from([item.compartment]), key);
      need(committed.equals(item.commitment), "a key is not the one committed to");
      keys.set(item.compartment, key);
    });
  }
  return { id: sha256(grant.body).subarray(0, 16), body, keys };
}

function checkHeader(header) {
  need(header.version === 1 && header.suite === 1, "another version or suite");
  const sizes = [header.salt, header.messageId, header.correlationId].every((item) => item.length === 16);
  need(sizes && header.senderKeyId.length === 8, "the header is not in form");
  need([0, 16].includes(header.causationId.length) && [0, 16].includes(header.grantId.length), "the header is not in form");
  const names = [header.sender, ...header.recipients];
  need(header.recipients.length && header.recipients.length <= 256 && ascending(header.recipients), "recipients");
  need(names.every((name) => name.length > 0 && [...name].length <= 32) && header.type && [...header.type].length <= 128, "names");
  need(header.lane >= 1 && header.lane <= 3, "the lane");
  need(0n < header.sentAt && header.sentAt < header.expiresAt, "the times");
  need(header.sequence > 0n === header.grantId.length > 0, "a sequence without a grant");
}

function open(question) {
  const envelope = parse("Envelope", Buffer.from(question.envelope, "hex"));
  const sealed = parse("Sealed", envelope.payload);
  const header = parse("Header", sealed.header);
  checkHeader(header);
  need(sealed.boxes.length <= 64 && sealed.boxes.every((box, at) => box.compartment === at + 1), "the boxes are not numbered 1, 2, 3");
  need(sealed.boxes.length > 0 === header.grantId.length > 0, "boxes and grant go together");
  need(envelope.mlDsa.length === 0, "a signature of another suite");
  const batch = root(envelope.payload, envelope.leafIndex, envelope.batchSize, envelope.proof);
  const signed = Buffer.concat([text("lianfang/1 batch\0"), text(header.sender), Buffer.from([0]), bytes(envelope.batchSize, 4), batch]);
  held(question.signers, header.sender, header.senderKeyId, signed, envelope.signature);
  const answer = { boxes: {}, withheld: [], public_body: sealed.publicBody.toString("hex") };
  if (!sealed.boxes.length) {
    need(!sealed.inlineGrant.length, "boxes and grant go together");
    return answer;
  }
  const documents = sealed.inlineGrant.length ? [sealed.inlineGrant] : question.grants.map((item) => Buffer.from(item, "hex"));
  const grant = documents.map((item) => granted(item, question)).find((item) => item.id.equals(header.grantId));
  need(grant, "the grant is not here");
  const { body } = grant;
  const fits = body.sender === header.sender && body.senderKeyId.equals(header.senderKeyId) && body.type === header.type;
  need(fits && same(body.recipients, header.recipients) && body.policySerial === header.policySerial, "sealed under another grant");
  need(body.notBefore <= header.sentAt && header.sentAt <= body.notAfter, "outside the grant's time");
  need(sealed.boxes.length === body.compartments.length, "not the boxes of its grant");
  for (const box of sealed.boxes) {
    const key = grant.keys.get(box.compartment);
    if (!key) {
      answer.withheld.push(box.compartment);
      continue;
    }
    const place = Buffer.from([box.compartment]);
    const once = hmac(key, text("lianfang/1 message key\0"), place, bytes(header.sequence, 8), header.salt);
    const bound = Buffer.concat([text("lianfang/1 box\0"), place, bytes(sealed.header.length, 4), sealed.header, sealed.publicBody]);
    answer.boxes[box.compartment] = gcm(once, Buffer.alloc(12), box.ciphertext, bound).toString("hex");
  }
  return answer;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = open(JSON.parse(line));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    answer = { refused: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
