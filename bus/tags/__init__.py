"""Match tags: agencies find that they hold the same account, number or person without reading it (docs/match-tags.md)."""
