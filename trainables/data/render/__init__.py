"""Renderer of the embedded faces: `python -m trainables.data.render` rebuilds `faces.pack` from MakeHuman's head."""
