"""Lines of other libraries that a user of the command can do nothing about: each of them, and why.

Whatever else a library says is shown: it may matter.
"""

import logging
import re
import warnings


class _Except(logging.Filter):
    """Lets every line of a logger pass but those that begin so, a regular expression."""

    def filter(self, record: logging.LogRecord) -> bool:
        return re.match(self.name, record.getMessage()) is None


LOGGED = {
    # Kernels for hardware that is not here, of a library that is imported if it is installed.
    "torchao": _Except(r"Failed to load \S+\.so: "),
    # What that library does to torch while it is imported.
    "torch.utils._pytree": _Except(r".* is an Enum subclass and is now natively supported"),
    # That it is newer than diffusers expects: weights that need it fail with an error of their own.
    "diffusers.quantizers.torchao.torchao_quantizer": _Except("Unable to import `torchao` Tensor"),
    # The embedded pipeline's autoencoder, which the pipeline takes as well as its own.
    "diffusers.pipelines.pipeline_utils": _Except(
        "Expected types for vae: .* got .*AutoencoderTiny"
    ),
    # Pictures are read as well without torchvision.
    "transformers.utils.import_utils": _Except(r"`\w+ImageProcessor` requires torchvision"),
}
"""Logger → what it shall not say."""

WARNED = r"torchvision\.(io\.image|models\._utils)"
"""Modules that warn of their own parts, unused here, and of arguments that LPIPS gives them."""


def quieten() -> None:
    """Leave these lines out in this process, from now on."""
    for name, unwanted in LOGGED.items():
        logging.getLogger(name).addFilter(unwanted)
    warnings.filterwarnings("ignore", category=UserWarning, module=WARNED)
