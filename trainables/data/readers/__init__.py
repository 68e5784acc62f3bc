"""One file per kind of data set; each is discovered, none is listed anywhere."""
