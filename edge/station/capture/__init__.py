"""From the camera to the mailbox."""
