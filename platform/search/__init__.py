"""What `python -m platform.search` is made of: the record of suggestions, what asks for the next, what is drawn and kept of them."""
