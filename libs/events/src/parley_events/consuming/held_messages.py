"""Messages of a consumer that are not acknowledged yet: their bytes are limited, not only their number.

A broker limits the number alone (``prefetch``), and sends that many at once. So a channel whose messages have too many
bytes is given up: the broker takes them back, and sends fewer on the next channel.
"""

import itertools

REDUCED_FOR = 1_000
"""Messages that are acknowledged on a channel with a lower prefetch before the next channel has the usual one."""


class HeldMessages:
    """Counts the messages of one consumer's current channel, and chooses the prefetch of its next one."""

    def __init__(self, prefetch: int, max_bytes: int) -> None:
        """``prefetch`` is the usual one, ``max_bytes`` the limit. A single message may have more."""
        self._usual_prefetch, self._max_bytes = prefetch, max_bytes
        self.prefetch = prefetch
        """Messages that the next channel may deliver before one is acknowledged."""
        self.start()

    def start(self) -> None:
        """Begin with a new channel."""
        self._sizes: dict[int | None, int] = {}  # by delivery tag, in the order of delivery
        self.size = 0
        """Bytes of the messages that are not acknowledged."""
        self._largest = self._released = 0
        self.is_given_up = False
        """Whether the channel has to be closed. Its messages are not taken any more."""

    def take(self, tag: int | None, size: int) -> bool:
        """Count a message that was delivered; return False if it is left to the broker."""
        if not self.is_given_up:
            self._largest = max(self._largest, size)
            if self._sizes and self.size + size > self._max_bytes:
                self._give_up(max(1, self._max_bytes // self._largest))
            elif self.prefetch < self._usual_prefetch and self._released >= REDUCED_FOR:
                self._give_up(self._usual_prefetch)
            else:
                self._sizes[tag] = size
                self.size += size
        return not self.is_given_up

    def release(self, tag: int | None, *, multiple: bool = False) -> None:
        """Forget a message that was acknowledged or rejected, and with ``multiple`` every earlier one."""
        if tag not in self._sizes:
            return
        tags = list(itertools.takewhile(lambda earlier: earlier != tag, self._sizes)) if multiple else []
        for one in (*tags, tag):
            self.size -= self._sizes.pop(one)
            self._released += 1

    def _give_up(self, prefetch: int) -> None:
        self.prefetch, self.is_given_up = prefetch, True
