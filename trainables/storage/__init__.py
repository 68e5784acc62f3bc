"""The run folder, and the command that owns it."""
