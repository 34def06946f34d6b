"""What ``mkdocs`` needs to know: the site's pages are the repository's, where they lie.

So a link that works in a checkout works on the site. What a page links to and the site does not
have (a source file, a folder without a page) is shown there as plain words.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SHOWN = (
    "*.md",
    "LICENSE",
    "docs/*.md",
    "docs/*.png",
    "benchmarks/README.md",
    "calibration/models/*",
    "calibration/pictures/*.jpg",
    "calibration/reference/*.*",
    "integrations/comfyui/*.md",
    "integrations/comfyui/*.svg",
    "runtime/README.md",
    "schedules/**/*.*",
)
"""The repository's files that the site has, as patterns."""

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>~?([^<]+)</code>")


def on_files(files: Files, config: Any) -> Files:
    """Put the repository's files in place of those of ``docs_dir`` alone."""
    docs = Path(config.docs_dir)
    theme = [file for file in files if not Path(file.abs_src_path or "").is_relative_to(docs)]
    found = sorted({path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()})
    ours = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in found
    ]
    return Files([*theme, *ours])


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to a folder to its page; show what the site does not have as words."""
    here = posixpath.dirname(page.file.src_uri)

    def shown(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        for name in (target, posixpath.join(target, "README.md")):
            if files.get_file_from_path(posixpath.normpath(posixpath.join(here, name))):
                return f"[{words}]({name}{anchor})"
        return words

    return LINK.sub(shown, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Show the docstrings' roles as the names that they stand for."""
    return ROLE.sub(r"<code>\1</code>", html)
