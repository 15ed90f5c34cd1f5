"""Error of a backup or a restore."""


class BackupError(Exception):
    """A backup or a restore is refused or failed; one line for a person."""
