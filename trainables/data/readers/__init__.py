"""Readers: one module per kind of data set. The registry discovers them; no list names them."""
