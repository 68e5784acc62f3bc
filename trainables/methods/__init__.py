"""One file per method; each is discovered, none is listed anywhere. The contract is in method.py."""
