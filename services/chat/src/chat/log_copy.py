"""Showing entries once their copy is safe."""

from chat.turn_log import TurnLog


class NoCopy:
    """A LogCopy that keeps none: entries are shown as soon as the list has them."""

    def opened(self, log: TurnLog) -> None:
        """Do nothing: there is no copy to begin."""

    def grown(self, log: TurnLog) -> None:
        """Show the entries."""
        log.show(len(log.entries))

    def closed(self, log: TurnLog) -> None:
        """Do nothing: there is no copy to end."""
