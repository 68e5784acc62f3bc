"""Statistics of small samples, without any knowledge of studies or reports."""
