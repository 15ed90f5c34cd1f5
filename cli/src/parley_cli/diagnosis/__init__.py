"""Checks of a running system by `parley doctor`: one module for each kind of dependency."""
