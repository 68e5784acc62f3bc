"""`python -m platform.doctor`."""
