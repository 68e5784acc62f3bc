"""What a process does with its terminal: descriptors, signals, lines of progress."""
