"""Reports as HTML: each one file that needs no other, no script and no network, to be read on any screen or paper."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unifront.files import write_beside
from unifront.paths import path_of

_STYLE = """
:root{color-scheme:light dark;--text:#1f2328;--soft:#59636e;--line:#d1d9e0;--back:#fff;--panel:#f6f8fa;--first:#0969da;
--second:#bc4c00;--good:#dafbe1;--fair:#fff8c5;--bad:#ffd8d3}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1;--line:#3d444d;--back:#0d1117;--panel:#151b23;
--first:#4493f8;--second:#f0883e;--good:#12361f;--fair:#3a2f0b;--bad:#5d1a18}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1.5rem 1rem 3rem;color:var(--text);
background:var(--back)}
h1{font-size:1.6rem;margin:0 0 1rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .6rem}
p{margin:.5rem 0;color:var(--soft)}
.wide{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .8rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600;color:var(--soft)}
td:first-child,th:first-child{text-align:left;padding-left:.2rem}
table.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}table.facts td:last-child{min-width:8rem}
table.facts td:first-child{color:var(--soft);overflow-wrap:normal;vertical-align:top}
.good{background:var(--good)}.fair{background:var(--fair)}.bad{background:var(--bad)}
.bar{display:grid;grid-template-columns:minmax(5rem,9rem) 1fr minmax(5rem,max-content);gap:.8rem;align-items:center;
margin:.3rem 0;font-variant-numeric:tabular-nums}
.bar i{display:block;height:1.1rem;border-radius:2px;background:var(--first);min-width:2px}
.bar b{font-weight:400;text-align:right}
pre{overflow-x:auto;background:var(--panel);padding:1rem;border-radius:6px;font-size:13px;line-height:1.35}
.figures{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:300px;max-width:100%}figcaption{font-size:13px;color:var(--soft)}
svg{max-width:100%;height:auto}polyline{fill:none;stroke-width:1.5}
polyline.first{stroke:var(--first)}polyline.second{stroke:var(--second)}
circle.first{fill:var(--first)}circle.second{fill:var(--second)}text{font-size:10px;fill:var(--soft)}
svg line{stroke:var(--line)}span.first{color:var(--first)}span.second{color:var(--second)}
"""


@dataclass(frozen=True)
class Cell:
    """What stands in a table, and how it is shaded: ``"good"``, ``"fair"``, ``"bad"`` or not."""

    text: str
    shade: str = ""


@dataclass
class Page:
    """A page, written from its top to its end. All text is escaped here."""

    title: str
    _parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{_safe(text)}</h2>")

    def note(self, text: str) -> None:
        """A sentence."""
        self._parts.append(f"<p>{_safe(text)}</p>")

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Names and their values, one below the other."""
        rows = "".join(f"<tr><td>{_safe(k)}</td><td>{_safe(v)}</td></tr>" for k, v in facts.items())
        self._parts.append(f'<table class="facts">{rows}</table>')

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> None:
        """A table; it scrolls by itself where the screen is narrow."""
        head = "".join(f"<th>{_safe(column)}</th>" for column in columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        self._parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')

    def bars(self, lengths: Mapping[str, float], texts: Mapping[str, str]) -> None:
        """A bar for each name, the longest of the whole width."""
        longest = max(lengths.values(), default=0.0) or 1.0
        for name, length in lengths.items():
            bar = f'<span><i style="width:{100 * length / longest:.1f}%"></i></span>'
            self._parts.append(
                f'<div class="bar"><span>{_safe(name)}</span>{bar}<b>{_safe(texts[name])}</b></div>'
            )

    def figures(self, pictures: Iterable[str]) -> None:
        """Pictures beside each other, as SVG that is trusted (see `curve`)."""
        self._parts.append(f'<div class="figures">{"".join(pictures)}</div>')

    def text(self, text: str) -> None:
        """Text as it is, in a font of one width."""
        self._parts.append(f"<pre>{_safe(text)}</pre>")

    def html(self) -> str:
        """The page."""
        return "\n".join(
            [
                '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width,initial-scale=1">',
                f"<title>{_safe(self.title)}</title><style>{_STYLE}</style></head><body>",
                f"<h1>{_safe(self.title)}</h1>",
                *self._parts,
                "</body></html>\n",
            ]
        )

    def write(self, path: Any) -> None:
        """Write the page; it appears whole or not at all."""
        content = self.html().encode()
        write_beside(path_of(path), lambda file: file.write(content))


def _safe(text: Any) -> str:
    return html.escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(text)))


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{_safe(cell)}</td>"
    return (
        f'<td class="{cell.shade}">{_safe(cell.text)}</td>' if cell.shade else f"<td>{_safe(cell.text)}</td>"
    )


FEW = 30
"""Points of a line below which each is drawn: one alone is no line."""


def curve(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], axis: str) -> str:
    """One or two lines of finite points as SVG, 300 × 190; "" where there is no point."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    (left, right), (low, high) = (_span([point[i] for point in points]) for i in (0, 1))
    width, height = right - left or 1.0, high - low or 1.0
    drawn, legend = [], []
    for (name, line), kind in zip(lines.items(), ("first", "second"), strict=False):
        places = [
            (f"{48 + 242 * (x - left) / width:.1f}", f"{152 - 132 * (y - low) / height:.1f}") for x, y in line
        ]
        drawn.append(f'<polyline class="{kind}" points="{" ".join(map(",".join, places))}"/>')
        if len(places) < FEW:
            drawn += (f'<circle class="{kind}" cx="{x}" cy="{y}" r="2"/>' for x, y in places)
        legend.append(f'<span class="{kind}">— {_safe(name)}</span>')
    return (
        f'<figure><svg width="300" height="190" viewBox="0 0 300 190" role="img" aria-label="{_safe(title)}">'
        '<line x1="48" y1="152" x2="290" y2="152"/><line x1="48" y1="20" x2="48" y2="152"/>'
        f'<text x="42" y="155" text-anchor="end">{low:.4g}</text>'
        f'<text x="42" y="24" text-anchor="end">{high:.4g}</text>'
        f'<text x="48" y="167">{left:g}</text><text x="290" y="167" text-anchor="end">{right:g}</text>'
        f'<text x="169" y="180" text-anchor="middle">{_safe(axis)}</text>{"".join(drawn)}</svg>'
        f"<figcaption>{_safe(title)} {' '.join(legend)}</figcaption></figure>"
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)
