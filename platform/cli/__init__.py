"""What the commands share: the application, exit codes, the options that name a study and its data."""
