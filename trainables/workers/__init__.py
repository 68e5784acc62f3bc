"""What trains cells on a Ray Train worker: the dispatcher's queue, the trial actors, the worker, its watchdog."""
