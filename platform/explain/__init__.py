"""The parts of `python -m platform.explain`: loaded networks, their maps, face regions, sheets, and the user's own pictures."""
