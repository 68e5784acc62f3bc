"""One report over several run folders."""
