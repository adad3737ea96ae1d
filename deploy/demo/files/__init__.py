"""Files that the agencies of the demonstration drop: synthetic, made by make_files.py. See README.md."""
