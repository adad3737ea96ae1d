"""Field-level encryption: each field to exactly those who may read it (docs/adr/0003-sealing.md).

Names of every byte string that is signed, authenticated or fed to a key derivation begin with a domain string of their
own, so that no value made for one use can pass in another.
"""
