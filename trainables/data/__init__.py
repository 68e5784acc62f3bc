"""Data sets as uint8 arrays in memory, and what a training makes of them: splits, augmentation, batches."""
