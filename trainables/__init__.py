"""Code that runs on Ray Train workers. It is plain PyTorch; only workers/slot.py imports Ray."""
