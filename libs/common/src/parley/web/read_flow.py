"""Flow control of a connection's reading side, shared by its app and its parser."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class ReadFlow(FlowControl):
    """Flow control in which reading stops while the app or the parser does not want more data."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = self._paused_by_app = False

    def pause_reading(self) -> None:
        """Stop reading for the app, whose request has enough data."""
        self._paused_by_app = True
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read again for the app, unless the parser holds."""
        self._paused_by_app = False
        if not self.held:
            super().resume_reading()

    def hold(self) -> None:
        """Stop reading for the parser, which has unparsed data."""
        self.held = True
        super().pause_reading()

    def release(self) -> None:
        """Read again for the parser, unless the app has paused."""
        self.held = False
        if not self._paused_by_app:
            super().resume_reading()
