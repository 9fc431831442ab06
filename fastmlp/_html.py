"""Tables as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def html_table(caption: str, heading: Sequence[str], rows: Sequence[Sequence[object]], more: str = "") -> str:
    """One table, every text escaped; `more` is a line below it."""
    head = "".join(f'<th style="text-align: left">{escape(name)}</th>' for name in heading)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align: left">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    below = f"<p>{escape(more)}</p>" if more else ""
    return (
        f"<div><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{below}</div>"
    )
