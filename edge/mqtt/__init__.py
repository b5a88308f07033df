"""Adapts messages to MQTT: connection, publisher, topics, embedded broker."""
