"""Studies to run: one file per study, each a small program that returns its grid at paper and at pocket scale."""
