"""The command `status`: what a grid or a search is doing, read from its run folder alone."""
