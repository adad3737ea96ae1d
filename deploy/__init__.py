"""Scripts that make and run a federation: certificates, private broker, demo data, policy bundle."""
