"""Code that runs on Ray Train workers. It is plain PyTorch; only slot.py imports Ray."""
