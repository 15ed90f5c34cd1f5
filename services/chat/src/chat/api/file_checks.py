"""Checks of images and files in requests: data, addresses and IDs. Parley itself never opens an address."""

from typing import Any

from chat import errors, file_errors
from chat.api.request_checks import invalid
from chat.catalogue import Model
from chat.file_references import parse_openai_id
from chat.files.image_data import require_image_data

_ADDRESSES = ("https://", "http://")


def check_image(url: str, pointer: str, model: Model, *, files: bool = True) -> None:
    """Raise InvalidRequest or UnsupportedContent for an image that the model cannot get.

    ``files``: the ID of a file may stand in place of an address.
    """
    if url.startswith("data:"):
        require_image_data(url, pointer)
    elif is_address(url):
        if "image_urls" not in model.capabilities:
            detail = "This model takes no addresses of images. Send the data of the image, or the ID of a file."
            raise errors.UnsupportedContent(detail)
    elif not files or parse_openai_id(url) is None:
        detail = "Must be the data of an image (`data:image/png;base64,…`) or its address (`https://…`)."
        raise invalid(pointer, "invalid_image", detail)


def is_address(url: str) -> bool:
    """Tell whether the provider has to fetch an image."""
    return url.startswith(_ADDRESSES)


def check_file_id(given: str) -> None:
    """Raise FileNotFound for an ID that cannot be one of a file."""
    if parse_openai_id(given) is None:
        raise file_errors.FileNotFound


def check_file(source: Any, pointer: str) -> None:
    """Raise InvalidRequest or FileNotFound for a file that has not either an ID or data."""
    given: dict[str, Any] = source if isinstance(source, dict) else {}
    found = {name: given[name] for name in ("file_id", "file_data") if given.get(name)}
    if len(found) != 1 or not all(isinstance(value, str) for value in found.values()):
        detail = "Send either the `file_id` of a file of `/v1/files`, or its data in base64 as `file_data`."
        raise invalid(pointer, "required", detail)
    if not isinstance(given.get("filename"), str | None):
        raise invalid(f"{pointer}/filename", "string_type", "Must be a string.")
    if "file_id" in found:
        check_file_id(found["file_id"])
