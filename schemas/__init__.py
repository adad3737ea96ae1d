"""The shared language of the federation: protobuf messages, field classes and checks."""
