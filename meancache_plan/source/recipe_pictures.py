"""Pictures that a recipe gives to its pipeline: read, and told apart by their bytes."""

import hashlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from meancache_plan.errors import InputError


def read_picture(file: Path) -> Image.Image:
    """Read a picture as RGB, 8 bits a channel.

    Raises:
        InputError: The file does not exist, or is not a picture.
    """
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such picture") from error
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: not readable as a picture ({error})") from error


def name_and_digest(file: Path) -> str:
    """``name.png sha256:…``: what a profile says of a picture.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return f"{file.name} sha256:{hashlib.sha256(data).hexdigest()}"
