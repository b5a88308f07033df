"""Where results go: the outbox, the picture archive, statistics."""
