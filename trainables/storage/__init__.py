"""The run folder, and which command owns it."""
