"""A private RabbitMQ in one folder, with its certificates, on any Debian or Ubuntu machine."""
