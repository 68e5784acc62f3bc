"""The report package. Tables hold the results of significance.py; figures and page render them."""
