"""The bus: envelope, sealing, keys, policy, transport, the two paths, the node and its commands."""
