"""Orders with a running clock: their states, and what may follow what."""
