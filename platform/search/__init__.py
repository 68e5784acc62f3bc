"""The parts of `python -m platform.search`: the record of suggestions, the driver that asks for the next one, figures and comparison."""
