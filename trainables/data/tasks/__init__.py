"""One file per way of turning data sets into training, validation and test images. Files are discovered. Contract: ../task.py."""
