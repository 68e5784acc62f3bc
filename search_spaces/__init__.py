"""What to run: one file per study, each a small program that gives its grid at paper and at pocket scale."""
