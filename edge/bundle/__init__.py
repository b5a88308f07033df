"""Opens and verifies the folder that holds everything a station needs to judge."""
