"""The page: a process of its own that subscribes to MQTT and shows all stations of a plant."""
