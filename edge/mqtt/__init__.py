"""The MQTT adapter: link, publisher, subscriber."""
