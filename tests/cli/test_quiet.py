"""What other libraries say is shown, but for the lines that nobody can do anything about."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meancache_plan.cli.quiet import LOGGED, quieten

UNWANTED = {
    "torchao": "Failed to load /a/torchao/_C_mxfp8.so: Could not load this library",
    "torch.utils._pytree": "<enum 'X'> is an Enum subclass and is now natively supported by torch",
    "diffusers.quantizers.torchao.torchao_quantizer": "Unable to import `torchao` Tensor objects.",
    "diffusers.pipelines.pipeline_utils": (
        "Expected types for vae: (<class 'AutoencoderKL'>,), got <class 'AutoencoderTiny'>."
    ),
    "transformers.utils.import_utils": "`CLIPImageProcessor` requires torchvision (not installed)",
}


@pytest.fixture(autouse=True)
def quiet() -> None:
    quieten()


def test_each_unwanted_line_is_left_out_and_no_other_of_its_logger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert UNWANTED.keys() == LOGGED.keys()
    for name, line in UNWANTED.items():
        logger = logging.getLogger(name)
        logger.addHandler(caplog.handler)
        logger.warning(line)
        logger.warning("This matters.")
        logger.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {"This matters."}
    assert {record.name for record in caplog.records} == UNWANTED.keys()


def test_warnings_of_torchvision_that_nobody_can_heed_are_not_shown(tmp_path: Path) -> None:
    for name in ("io/image.py", "models/_utils.py", "models/other.py"):
        file = tmp_path / "torchvision" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"import warnings\nwarnings.warn('from {name}')\n")
    code = (
        "import contextlib\n"
        "from meancache_plan.cli import main\n"
        "with contextlib.suppress(SystemExit):\n    main(['recipes'])\n"
        "import torchvision.io.image, torchvision.models._utils, torchvision.models.other\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert re.findall("from (.*py)$", done.stderr, re.M) == ["models/other.py"]
