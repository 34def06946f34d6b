"""A fake of the parts of vLLM-Omni that a plug-in meets, written from its public interface.

Each module imitates one of github.com/vllm-project/vllm-omni, and says which, and at which commit.
This one: vllm_omni/plugins/__init__.py at 6a96e66ea6f8. Plug-ins that cannot be imported are
logged, and what one raises when it is called goes through.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points

OMNI_DEFAULT_PLUGINS_GROUP = "vllm_omni.general_plugins"

omni_plugins_loaded = False


def load_omni_general_plugins() -> None:
    global omni_plugins_loaded
    if omni_plugins_loaded:
        return
    omni_plugins_loaded = True
    functions = []
    for plugin in entry_points(group=OMNI_DEFAULT_PLUGINS_GROUP):
        try:
            functions.append(plugin.load())
        except Exception:
            logging.getLogger(__name__).exception("Failed to load plugin %s", plugin.name)
    for function in functions:
        function()
