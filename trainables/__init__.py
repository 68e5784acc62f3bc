"""Code that runs on Ray Train workers. It is plain PyTorch; only workers/trial_actor.py imports Ray."""
