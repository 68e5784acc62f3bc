"""How a step is executed: precision, CUDA graphs, several trainings in one process, several processes for one training."""
