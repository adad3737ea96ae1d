"""Local formats ⇄ shared messages: readers, the mapping language, profiles, writers. No network, no clock, no disk.

- `profiles()` are the dialects we speak, one TOML file each in adapters/profiles.
- `detect(data)` says which of them a file is in, by its content alone; `detect.identify` also how sure, and why.
- `convert.convert` reads a file into messages, `render.render` writes a message in a dialect.
- `summary.check` and `summary.as_json` are what a person or a command asks.
"""

from adapters.catalogue import profiles
from adapters.detect import detect
from adapters.profile import Profile

__all__ = ["Profile", "detect", "profiles"]
