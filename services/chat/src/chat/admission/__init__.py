"""Everything that is decided about a turn before the provider is called."""
