"""Statistics of small samples, independent of studies and reports."""
