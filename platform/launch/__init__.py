"""Running cells: Ray's lifetime, the run lock, the worker pool, the run of cells with Ray Tune."""
