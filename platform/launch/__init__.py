"""Running cells: Ray's lifetime, the run lock, the worker pool, the schedule."""
