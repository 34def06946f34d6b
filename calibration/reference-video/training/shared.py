"""Put the image reference's training folder on the path: scenes, words and optimizers are its own.

Import this before any of these modules.
"""

from __future__ import annotations

import sys
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[2] / "reference" / "training"
if str(IMAGES) not in sys.path:
    sys.path.append(str(IMAGES))
