"""Finished trainings as runs of MLflow or Weights & Biases, where the option --log asks for it."""
