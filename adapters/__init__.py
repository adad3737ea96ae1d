"""Local formats of agencies to shared messages and back."""
