"""Goes from the camera's frame to the view that is inspected, and back."""
