"""Code that the commands share: the Typer application, exit codes, the options that describe a study and its data."""
