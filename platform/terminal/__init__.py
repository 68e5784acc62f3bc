"""How a process uses its terminal: descriptors, signals, progress lines."""
