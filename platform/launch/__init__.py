"""What puts cells to work: Ray's life, the run lock, the worker pool, the schedule."""
