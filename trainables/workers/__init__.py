"""Training of cells on Ray Train workers: the dispatcher's queue, the trial actors, the worker, its watchdog."""
