"""The key service: a separate process that alone holds private keys and class keys.

It gives out one message's plaintext for one committed log entry, and never a key.
"""
