"""Data sets as uint8 arrays in memory, and their splits, augmentation and batches."""
