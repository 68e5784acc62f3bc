"""One file per way of turning data sets into training, validation and test images; each is discovered. The contract is in ../task.py."""
