"""A snapshot made readable: no file is opened here, and no option parsed."""
