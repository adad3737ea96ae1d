"""What a refused message means, by the code under which it was refused: a receipt and a quarantine carry codes only.

The words are those of docs/errors.md; a test holds the two together.
"""

_MEANINGS: dict[str, tuple[str, str]] = {
    "LF-OUT-EXPIRED": (
        "a recipient gave no receipt before the message expired",
        "see that it runs; send it anew if it still matters",
    ),
    "LF-IN-CLOCK-SKEW": (
        "a message comes from further in the future than clocks may differ",
        "the sender must set its clock",
    ),
    "LF-IN-EXPIRED": (
        "a message came after its time",
        "the sender sends it anew if it still matters",
    ),
    "LF-IN-GRANT-UNKNOWN": (
        "a message came before the grant that opens it",
        "nothing to do; the grant is asked for with the receipt",
    ),
    "LF-IN-ID-REUSED": (
        "a message has the id of an earlier one, of other content or of another sender",
        "refused and recorded; ask the sender",
    ),
    "LF-IN-UNKNOWN-VERSION": (
        "a message is of a type or version that this installation does not know",
        "bring this node to the sender's release",
    ),
    "LF-IN-WIRE-MISMATCH": (
        "what the broker says of a message is not what its sender signed",
        "refused; somebody at the broker may have changed its address",
    ),
    "LF-CODE-WITHHELD": (
        "a code from elsewhere is none that is known, so it is not written into a log",
        "ask its sender what it means",
    ),
    "LF-SEAL-ENVELOPE": (
        "an envelope is not in form or not its sender's",
        "ask the sender to send it anew",
    ),
    "LF-SEAL-FORM": (
        "the bytes are not in their one canonical form",
        "ask the sender; if it sent other bytes, look at the broker",
    ),
    "LF-SEAL-VERSION": (
        "the sealing format is of another version",
        "bring both nodes to releases that know it",
    ),
    "LF-SEAL-SUITE": (
        "the sealing suite is unknown to this release",
        "bring both nodes to releases that know it",
    ),
    "LF-SEAL-SUITE-NOT-ALLOWED": (
        "the sealing suite is none that the policy bundle allows",
        "the sender must take the newest bundle; whoever asks for a weaker suite may be an attacker",
    ),
    "LF-SEAL-SUITE-PROVIDER": (
        "suite 4 needs a provider of SM2, which is not installed here",
        "install `lianfang[sm2]`, or have policy use another suite",
    ),
    "LF-SEAL-GRANT-SUITE": (
        "a message is of another suite than its grant",
        "ask the sender to send it anew; if it comes again, call the auditor",
    ),
    "LF-SEAL-GRANT-TYPE": (
        "a grant is for another type of message",
        "ask the sender to send it anew; if it comes again, call the auditor",
    ),
    "LF-SEAL-GRANT-EPOCH": (
        "a message was sent outside the hour of its grant",
        "the sender must set its clock; if it is right, call the auditor",
    ),
    "LF-SEAL-GRANT-NOT-YET": (
        "a grant begins further in the future than clocks may differ",
        "the sender must set its clock",
    ),
    "LF-SEAL-GRANT-LONG": (
        "a grant is for longer than class keys may be used",
        "the sender must bring its node up to date",
    ),
    "LF-SEAL-GRANT-UNKNOWN-KEY": (
        "a grant is signed by a key that is not in the member directory",
        "ask the centre for the newest directory; if the key is not in it, it is a forgery",
    ),
    "LF-SEAL-COMPARTMENT": (
        "a message has not the compartments of its grant",
        "ask the sender to send it anew; if it comes again, call the auditor",
    ),
    "LF-SEAL-SUBJECTS": (
        "a message names more accounts, phones and persons than a log entry holds",
        "the sender must split it",
    ),
    "LF-SEAL-TOO-LARGE": (
        "a message is larger than the limit",
        "send smaller papers, or fewer",
    ),
    "LF-SEAL-PUBLIC-BODY": (
        "the public body holds fields that are not public",
        "the sender must bring its node up to date",
    ),
    "LF-SEAL-UNKNOWN-KEY": (
        "the sender's key is not in the member directory",
        "ask the centre for the newest directory; if the key is not in it, it is a forgery",
    ),
    "LF-SEAL-SENDER-SUSPENDED": (
        "the sender does not take part",
        "ask the centre",
    ),
    "LF-SEAL-SIGNATURE": (
        "the sender did not sign this",
        "it is a forgery or was changed on its way; call the auditor",
    ),
    "LF-SEAL-CANNOT-OPEN": (
        "plaintext was not given",
        "the reason stands in the log under the entry; ask the operator",
    ),
    "LF-SEAL-GRANT": (
        "a grant does not hold",
        "ask the sender to send it anew",
    ),
    "LF-SEAL-GRANT-FORM": (
        "a grant is not in form",
        "ask the sender to send it anew",
    ),
    "LF-SEAL-GRANT-SIGNATURE": (
        "a grant is not its sender's",
        "it is a forgery; call the auditor",
    ),
    "LF-SEAL-GRANT-PREKEY": (
        "a grant is wrapped to a prekey that is not ours",
        "the sender must take the newest directory",
    ),
    "LF-SEAL-GRANT-WRAP": (
        "a wrap does not open for this agency",
        "ask the sender to send it anew",
    ),
    "LF-SEAL-GRANT-KEYS": (
        "a wrap holds other keys than its grant says",
        "ask the sender to send it anew, and tell the auditor",
    ),
    "LF-SEAL-GRANT-COMMITMENT": (
        "a class key is not the one committed to: recipients were to be shown different things",
        "call the auditor",
    ),
    "LF-SEAL-GRANT-OTHER": (
        "a message was not sealed under this grant",
        "ask the sender to send it anew",
    ),
    "LF-SEAL-GRANT-NOT-OURS": (
        "a grant is not for this agency",
        "ask the sender to send it anew",
    ),
    "LF-POLICY-DENIED": (
        "no row permits it, or a row forbids it; the rows are named",
        "do what the cure names; `lianfang policy explain` says what was missing",
    ),
    "LF-POLICY-ERROR": (
        "a row could not be evaluated; that denies",
        "tell the policy officer",
    ),
    "LF-POLICY-UNKNOWN-WORD": (
        "a purpose, role, class or action is not in the bundle's vocabulary",
        "use a word of `lianfang policy show`",
    ),
    "LF-POLICY-EXPIRED": (
        "the bundle in force is over its time",
        "the centre must publish a new one",
    ),
    "LF-SCHEMA-UNKNOWN-TYPE": (
        "there is no message of that name in this version",
        "look at the name; bring the node to the release that has it",
    ),
    "LF-WIRE-EXCHANGE": (
        "a delivery came through an exchange that is no sender's",
        "look who may publish at the broker",
    ),
    "LF-WIRE-KEY": (
        "its routing key is not in form",
        "look who may publish at the broker",
    ),
    "LF-WIRE-SENDER": (
        "its routing key names another sender than its exchange",
        "look who may publish at the broker",
    ),
    "LF-WIRE-RECIPIENT": (
        "its routing key names another recipient",
        "look who may publish at the broker",
    ),
    "LF-WIRE-LANE": (
        "its routing key names another lane than its queue",
        "look who may publish at the broker",
    ),
    "LF-WIRE-USER": (
        "it was published by another user than its sender",
        "look who may publish at the broker, and tell the auditor",
    ),
    "LF-WIRE-CC": (
        "it asks the broker for copies to others",
        "look who may publish at the broker, and tell the auditor",
    ),
    "LF-WIRE-SIZE": (
        "it is larger than a message may be",
        "look who may publish at the broker, and tell the auditor",
    ),
    "unroutable": (
        "no queue of the broker takes it",
        "see that its recipient is admitted at the broker; it is tried again every minute",
    ),
    "nacked": ("the broker refused it: the recipient's queue is full", "nothing to do; it is tried again"),
}


def meaning(code: str) -> tuple[str, str]:
    """Return cause and cure of a code; of a code of another release, that it is one; of none and of outcomes, nothing."""
    if not code or code in ("ACCEPTED", "DUPLICATE", "GRANT_UNKNOWN"):
        return "", ""
    return _MEANINGS.get(code, ("refused under a code that this release does not know", "look it up in docs/errors.md"))
