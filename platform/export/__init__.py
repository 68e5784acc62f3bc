"""Model files of trained networks, with a description and a model card."""
