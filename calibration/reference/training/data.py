"""Fetch the emoji pictures and their names from npm, check them, and make arrays of them.

Two packages, pinned by version and SHA-256: `emoji-datasource-google` (Noto emoji pictures,
Apache-2.0) and `emojibase-data` (English names and tags, MIT). They are read inside their
tarballs, which `npm pack` puts into the cache directory when they are not there yet.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from subjects import Record, is_subject

SIZE = 64
DEFAULT_CACHE = Path.home() / ".cache" / "meancache-plan" / "reference-data"
PICTURES = "emoji-datasource-google@16.0.0"
NAMES = "emojibase-data@17.0.0"
SHA256 = {
    PICTURES: "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    NAMES: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
}
LEFT_OUT = ("flags", "symbols", "components")


def fetch(package: str, cache: Path) -> Path:
    """The package's tarball in the cache directory, fetched when absent, and checked."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / (package.replace("@", "-") + ".tgz")
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(f"npm is needed to fetch {package}, or put {path.name} into {cache}")
        command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", str(cache)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[package]:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {SHA256[package]}")
    return path


def members(path: Path, prefix: str) -> dict[str, bytes]:
    """The tarball's files under a folder, by their name inside it."""
    with tarfile.open(path, "r:gz") as archive:
        return {
            info.name.removeprefix(prefix): archive.extractfile(info).read()  # type: ignore[union-attr]
            for info in archive
            if info.isfile() and info.name.startswith(prefix)
        }


def key(hexcode: str) -> str:
    """An emoji's code points as both packages can be brought to spell them."""
    return hexcode.lower().replace("-fe0f", "")


def read_names(path: Path) -> dict[str, Record]:
    """Caption data by code points: base emoji only, without skin-tone variants."""
    files = members(path, "package/en/")
    groups = {g["order"]: g["message"] for g in json.loads(files["messages.json"])["groups"]}
    names: dict[str, Record] = {}
    for entry in json.loads(files["data.json"]):
        group = groups.get(entry.get("group"), "components")
        if group in LEFT_OUT:
            continue
        label = entry["label"].replace("’", "'")
        names[key(entry["hexcode"])] = Record(
            label=label,
            tags=entry.get("tags", []),
            group=group,
            subject=is_subject(label, group),
        )
    return names


def read_picture(data: bytes) -> np.ndarray:
    """One picture on a white ground, as SIZE x SIZE x 3 bytes."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    ground.alpha_composite(picture)
    side = max(picture.size)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(ground.convert("RGB"), ((side - picture.width) // 2, (side - picture.height) // 2))
    if side != SIZE:
        square = square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(square)


def load(cache: Path = DEFAULT_CACHE) -> tuple[np.ndarray, list[Record]]:
    """All pictures as N x SIZE x SIZE x 3 bytes, and their caption data, in a fixed order."""
    names = read_names(fetch(NAMES, cache))
    pictures = members(fetch(PICTURES, cache), "package/img/google/64/")
    by_key = {key(name.removesuffix(".png")): data for name, data in pictures.items()}
    kept = sorted(names.keys() & by_key.keys())
    return np.stack([read_picture(by_key[k]) for k in kept]), [names[k] for k in kept]


def subject_records(records: list[Record]) -> list[int]:
    """Positions of the pictures that the text-to-image model is trained on."""
    return [i for i, record in enumerate(records) if record["subject"]]


def held_out_records(records: list[Record]) -> list[int]:
    """Positions of the pictures that only measure the autoencoder: every 20th non-subject."""
    return [i for i, record in enumerate(records) if not record["subject"]][::20]
