"""What the page shows where scripts are not allowed: its plans and their figures as one table."""

from collections.abc import Sequence
from html import escape
from typing import Any

WORDS = (
    "This page draws its charts and pictures with a script that it contains: allow scripts to see "
    "them. Without it, this is what is known of the plans."
)


def still(data: dict[str, Any]) -> str:
    """HTML of the summary, with every text escaped.

    Args:
        data: What the page shows, as :func:`meancache_plan.show.page.report_writing.report_data`
            has it.

    Example:
        >>> page = {"title": "<b>", "steps": 8, "plans": [], "figures": None, "warnings": []}
        >>> still(page).count("<b>")
        0
    """
    figures = data["figures"] or {"kinds": [], "rows": []}
    measured = {row["budget"]: row for row in figures["rows"] if row["method"] == "plan"}
    kinds = figures["kinds"]
    heads = ["Budget", "Runs of the denoiser", "Fewer", *(each["label"] for each in kinds)]
    heads += ["Speed-up"] if measured else []
    rows = [_cells(plan, measured.get(plan["budget"]), len(heads), kinds) for plan in data["plans"]]
    caption = f"The plans for {data['title']}, out of {data['steps']} steps"
    words = (WORDS, *data["warnings"])
    told = "".join(f'<p class="missing">{escape(each)}</p>\n' for each in words)
    return told + _table(caption, heads, rows)


def _cells(
    plan: dict[str, Any], row: dict[str, Any] | None, count: int, kinds: Sequence[dict[str, Any]]
) -> list[str]:
    """A plan's line: what it runs, and the means that were measured."""
    cells = [str(plan["budget"]), str(len(plan["knots"])), f"{plan['theory']:.2f}×"]
    if row is None:
        return cells + ["–"] * (count - len(cells))
    cells += [_mean(row, kind) for kind in kinds]
    return [*cells, "–" if row["speedup"] is None else f"{row['speedup']:.2f}×"]


def _mean(row: dict[str, Any], kind: dict[str, Any]) -> str:
    found = row["quality"].get(kind["key"])
    if found is None:
        return "–"
    if row["same"] and kind["key"].startswith("psnr"):
        return "identical"
    return f"{found['mean']:.{kind['digits']}f} {kind['unit']}".rstrip()


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th class="number" scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        "<tr>" + "".join(f'<td class="number">{escape(cell)}</td>' for cell in row) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )
