"""TensorBoard files of a run."""
