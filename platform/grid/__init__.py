"""`python -m platform.grid`."""
