"""Industrial cameras behind GenICam: features, pixel formats and clocks that all drivers share."""
