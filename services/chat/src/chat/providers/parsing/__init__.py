"""Parsing of providers' answers into chunks; what is broken is left out, and the rest is kept."""
