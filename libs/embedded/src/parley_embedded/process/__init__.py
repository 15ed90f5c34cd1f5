"""Child processes: start, supervision, identity and termination."""
