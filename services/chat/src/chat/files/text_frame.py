"""The text of a file as a part of a prompt: between tags with its name, so that a model tells it from the message."""

import re
from html import escape

from chat.files.upload_form import safe_filename

CUT = "\n[The rest of the file is left out.]"
"""Stands where the text of a file was cut."""
GONE = "[A file that is left out.]"
"""Stands for a file that is gone."""
_END = "</file>"
_ENDS = re.compile(r"<(?=\s*/\s*file\b)", re.IGNORECASE)
"""What a model could take for the end of a file."""


def framed(filename: str, text: str) -> str:
    """Return the text of a file between tags. The file cannot end them itself."""
    inner = _ENDS.sub("<\\\\", text)
    return f'<file name="{escape(safe_filename(filename))}">\n{inner}\n{_END}'


def left_out(filename: str) -> str:
    """Return what stands for a file that does not fit, or has no text."""
    return f'<file name="{escape(safe_filename(filename))}">[The file is left out.]{_END}'
