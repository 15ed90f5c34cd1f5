"""Generated documents: pure functions of the code, written by `make docs` and compared by `make check`."""
