"""One file per method. The registry discovers the files; no list names them. The interface is in method.py."""
