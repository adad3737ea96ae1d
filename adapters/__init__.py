"""Local formats ⇄ shared messages: readers, the mapping language, profiles, writers. No network, no clock, no file but ours.

- `profiles()` are the dialects we speak, one TOML file each in adapters/profiles.
- `detect(data)` says which of them a file is in, by its content alone; `detect.identify` also how sure, and why.
- `convert.convert` reads a file into messages, `render.render` writes a message in a dialect.
- `summary.check` and `summary.Tally` say what became of a file, as a person or a command asks it.
"""

from adapters.catalogue import profiles
from adapters.detect import detect
from adapters.profile import Profile

__all__ = ["Profile", "detect", "profiles"]
