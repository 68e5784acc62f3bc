"""The report's parts: tables hold what significance.py found, figures and page draw it."""
