"""The verified folder that holds everything a station needs to judge."""
