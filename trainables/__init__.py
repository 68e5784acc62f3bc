"""What runs on a Ray Train worker: plain PyTorch, except slot.py, the only file here that imports Ray."""
