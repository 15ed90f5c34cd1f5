"""Messages: the branches and the tree of a conversation."""
