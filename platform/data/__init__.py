"""`python -m platform.data`."""
