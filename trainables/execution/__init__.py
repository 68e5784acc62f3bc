"""How a step is executed: precision, CUDA graphs, several trainings in a process, several processes for a training."""
