"""One self-contained HTML page: text, tables and figures, readable offline on a desk and on a phone."""

from __future__ import annotations

import html
import io
import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from learnsys.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = """
:root { --ink: #1c2430; --soft: #5c6675; --line: #d9dee6; --page: #ffffff; --band: #f4f6f9; --accent: #0b6e99; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink); background: var(--page);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
.lead { font-size: 1.1rem; color: var(--soft); }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 50%; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tr.best td { background: var(--band); font-weight: 600; }
figure { margin: 1rem 0; }
figure svg { width: 100%; height: auto; max-width: 44rem; }
figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; }
pre { background: var(--band); padding: .7rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere;
      border-radius: 4px; font-size: .85rem; }
pre span { display: block; padding-left: 2em; text-indent: -2em; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--accent); }
a { color: var(--accent); }
ul { padding-left: 1.1rem; margin: .8rem 0; max-width: 46rem; }
li { margin: .35rem 0; }
.verdict { border-left: 3px solid var(--accent); padding-left: .8rem; font-weight: 600; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  body { padding: 1rem .9rem 3rem; }
  h1 { font-size: 1.4rem; }
  th, td { padding: .3rem .5rem; }
}
@media print { body { max-width: none; } }
"""

PALETTE = ("#0b6e99", "#c4572b", "#3d7a3a", "#7a4fa3", "#a87b00", "#5c6675", "#b3396b", "#1f8a8a")
"""Line colours, distinct in print and for the colour-blind in this order."""


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def format_value(value: Any) -> str:
    """A cell as people read it: thousands separated, four significant digits for fractions, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return str(value)


@dataclass(frozen=True)
class Finding:
    """What one run has to say on a page about several."""

    title: str
    """what was tried, such as "Cache replacement on sample:gnugo"; a heading"""
    verdict: str
    """what won, and by how much; empty for a run that compares nothing"""
    draw: Callable[[Page], None]
    """adds tables and figures to the page"""
    further: tuple[str, ...] = ()
    """commands that lead on from there"""


class Page:
    """Builds a page from top to bottom; `write` saves it atomically.

    Args:
        title: the heading.
        lead: one sentence that says what was found.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._figures = count(1)
        self._body = [f"<h1>{html.escape(title)}</h1>"]
        if lead:
            self._body.append(f'<p class="lead">{html.escape(lead)}</p>')

    def heading(self, text: str) -> None:
        self._body.append(f'<h2 id="{_anchor(text)}">{html.escape(text)}</h2>')

    def verdict(self, text: str) -> None:
        """A paragraph that is set off."""
        self._body.append(f'<p class="verdict">{html.escape(text)}</p>')

    def contents(self, entries: Sequence[tuple[str, str]]) -> None:
        """A list of (heading, sentence), linked to the headings."""
        items = [
            f'<li><a href="#{_anchor(to)}">{html.escape(to)}</a>: {html.escape(text)}</li>' for to, text in entries
        ]
        self._body.append(f"<ul>{''.join(items)}</ul>")

    @contextmanager
    def folded(self, summary: str) -> Iterator[None]:
        """What is added inside is hidden until the reader asks for it."""
        self._body.append(f"<details><summary>{html.escape(summary)}</summary>")
        yield
        self._body.append("</details>")

    def text(self, text: str) -> None:
        self._body.append(f"<p>{html.escape(text)}</p>")

    def code(self, text: str) -> None:
        # long lists may break behind a comma
        lines = [f"<span>{html.escape(line).replace(',', ',<wbr>')}</span>" for line in text.splitlines()]
        self._body.append(f"<pre>{''.join(lines)}</pre>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], best: int | None = None) -> None:
        """A table; row number `best` is set off."""
        parts = ['<div class="scroll"><table><thead><tr>']
        parts += [f"<th>{html.escape(name)}</th>" for name in columns]
        parts.append("</tr></thead><tbody>")
        for number, row in enumerate(rows):
            parts.append('<tr class="best">' if number == best else "<tr>")
            parts += [f"<td>{html.escape(format_value(value))}</td>" for value in row]
            parts.append("</tr>")
        parts.append("</tbody></table></div>")
        self._body.append("".join(parts))

    @contextmanager
    def figure(self, caption: str, height: float = 3.4) -> Iterator[Axes]:
        """Yield matplotlib axes to draw on; what was drawn is inlined as SVG under `caption`."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_prop_cycle(color=PALETTE)
        axes.grid(color="#e6e9ee", linewidth=0.8)
        axes.set_axisbelow(True)
        yield axes
        self._add(figure, caption)

    def _add(self, figure: Figure, caption: str) -> None:
        import matplotlib

        target = io.StringIO()
        # The salt makes the ids of two equal figures equal; the metadata would hold the time of writing.
        with matplotlib.rc_context({"svg.hashsalt": "learnsys", "svg.fonttype": "none", "font.family": "sans-serif"}):
            figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
        drawing = target.getvalue()
        drawing = drawing[drawing.index("<svg") :]
        # Ids are unique in one SVG only; a page holds several.
        prefix = f"f{next(self._figures)}-"
        drawing = re.sub(r'\bid="', f'id="{prefix}', drawing)
        drawing = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}", drawing)
        label = html.escape(caption)
        drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{html.escape(caption, quote=True)}"', 1)
        self._body.append(f"<figure>{drawing}<figcaption>{label}</figcaption></figure>")

    def write(self, path: str | os.PathLike[str], footer: str = "") -> None:
        """Save the page; `footer` is a closing line such as the versions used."""
        body = "\n".join(self._body)
        write_text(
            path,
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
            f"<footer>{html.escape(footer)}</footer></body></html>\n",
        )
