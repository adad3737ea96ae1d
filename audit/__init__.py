"""The tamper-evident audit log: tree, leaf, checkpoint, store, witness, verifier."""
