"""From a frame to a verdict: pure functions and objects without threads or I/O."""
