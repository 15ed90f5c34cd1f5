"""Subcommands of `parley`, one module each.

A subcommand imports the service it works on when it runs, so that the command line also works in an image that
contains a single service.
"""
