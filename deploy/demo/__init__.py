"""The demonstration: seven agencies on one machine, playing the main job on real files."""
