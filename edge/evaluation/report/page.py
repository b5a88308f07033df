"""Building blocks of a report. Text is escaped unless it is markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

# Colours by Okabe and Ito: told apart with any kind of colour vision, and in grey by their dashes.
STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --wash: #f6f8fa;
  --good: #0072b2; --bad: #d55e00; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem;
  border-bottom: 2px solid var(--line); }
p, ul { margin: .5rem 0; max-width: 48rem; }
.quiet, figcaption, caption { color: var(--quiet); font-size: .875rem; }
dl.figures { display: grid; gap: .75rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
dl.figures div { border: 1px solid var(--line); border-radius: 6px; padding: .6rem .75rem; }
dl.figures dt { font-size: .8rem; color: var(--quiet); }
dl.figures dd { margin: 0; font-size: 1.45rem; font-weight: 650;
  font-variant-numeric: tabular-nums; }
dl.figures dd + dd { font-size: .8rem; font-weight: 400; color: var(--quiet); line-height: 1.35; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
figure { margin: 0; }
.charts svg { width: 100%; max-width: 28rem; height: auto; display: block; }
svg text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink);
  paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--good); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem 0; }
th, td { padding: .3rem .65rem; border: 1px solid var(--line); text-align: right; }
thead th { background: var(--wash); }
th { font-weight: 600; }
th:first-child { text-align: left; }
td.text { text-align: left; overflow-wrap: anywhere; }
td.right { outline: 2px solid var(--ink); outline-offset: -2px; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
.pictures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
.picture { border: 1px solid var(--line); border-radius: 6px; padding: .5rem; }
.picture .pair { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; }
.picture svg { width: 100%; max-height: 20rem; display: block; background: #000; }
.picture figcaption { margin-top: .4rem; overflow-wrap: anywhere; }
.picture strong { color: var(--ink); }
.key { white-space: nowrap; }
.key .heat { display: inline-block; width: 4em; height: .7em;
  background: linear-gradient(90deg, #000004, #57106e, #bc3754, #f98e09, #fcffa4); }
figure.picture { content-visibility: auto; contain-intrinsic-size: auto 16rem; }
.pair.wide { grid-template-columns: 1fr 1fr 1fr; }
.slider { margin: 1rem 0; }
.slider[hidden] { display: none; }
.slider input { width: min(30rem, 100%); height: 2rem; vertical-align: middle;
  accent-color: var(--good); }
.slider output { display: inline-block; min-width: 6rem; font-weight: 650;
  font-variant-numeric: tabular-nums; }
button { font: inherit; font-size: .875rem; padding: .25rem .7rem; color: var(--ink);
  background: var(--wash); border: 1px solid #6e7781; border-radius: 6px; cursor: pointer; }
button[hidden] { display: none; }
button:focus-visible, summary:focus-visible, input:focus-visible {
  outline: 2px solid var(--good); outline-offset: 2px; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .2rem 0; font-weight: 600; font-size: .95rem;
  overflow-wrap: anywhere; }
ul.names { max-width: none; columns: 22rem; font-size: .875rem; overflow-wrap: anywhere; }
ul.strip { list-style: none; display: flex; flex-wrap: wrap; gap: .5rem; padding: 0;
  max-width: none; }
ul.strip li { width: 7rem; font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere;
  border-top: 4px solid #8c959f; padding-top: .25rem; }
ul.strip li.wrong { border-top: 4px double var(--bad); font-weight: 600; }
ul.strip img { display: block; }
.key svg { width: 2.2em; height: .8em; vertical-align: baseline; }
@media (max-width: 30rem) { body { padding: .6rem; }
  .pictures { grid-template-columns: 1fr; } dl.figures { grid-template-columns: 1fr 1fr; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, tr, dl.figures div { break-inside: avoid; } h2, h3, h3 + p { break-after: avoid; }
  figure.picture { content-visibility: visible; }
  .scroll { overflow: visible; } .charts { grid-template-columns: 1fr 1fr; }
  .pictures { grid-template-columns: 1fr 1fr 1fr; } }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'{script_policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
{script}
</body>
</html>
"""


class Markup(str):
    """Text that is HTML already; everything else is escaped on its way in."""

    __slots__ = ()


def fill(template: str, **values: object) -> Markup:
    """Fill the `{names}` of a template; values that are not Markup are escaped."""
    return Markup(template.format(**{name: _safe(value) for name, value in values.items()}))


def join(parts: Iterable[object], between: str = "\n") -> Markup:
    """Join parts, escaped unless they are Markup."""
    return Markup(between.join(_safe(part) for part in parts))


def page(title: str, body: Iterable[Markup], script: str = "") -> Markup:
    """Make a whole document that loads nothing from anywhere and runs `script` alone."""
    policy, element = Markup(""), Markup("")
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = Markup(f"; script-src 'sha256-{digest}'")
        element = Markup(f"<script>{script}</script>")
    return fill(
        PAGE,
        title=title,
        style=Markup(STYLE),
        body=join(body),
        script_policy=policy,
        script=element,
    )


def section(title: str, *parts: Markup) -> Markup:
    """Make a chapter with a heading."""
    return fill("<section>\n<h2>{title}</h2>\n{parts}\n</section>", title=title, parts=join(parts))


def paragraph(text: object, *, is_quiet: bool = False) -> Markup:
    """Make a paragraph; quiet ones explain."""
    name = Markup(' class="quiet"' if is_quiet else "")
    return fill("<p{name}>{text}</p>", name=name, text=text)


def table(caption: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> Markup:
    """Make a table; the first cell of a row is its heading, cells made with `cell` stay.

    It scrolls sideways on narrow screens, also by keyboard.
    """
    lines = [join([fill('<th scope="col">{h}</th>', h=h) for h in head], "")]
    body = []
    for first, *others in rows:
        cells = [
            other if isinstance(other, Markup) and other.startswith("<td") else cell(other)
            for other in others
        ]
        heading = fill('<th scope="row">{first}</th>', first=first)
        body.append(fill("<tr>{cells}</tr>", cells=join([heading, *cells], "")))
    return fill(
        '<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>'
        "<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
        "</table></div>",
        caption=caption,
        head=lines[0],
        body=join(body),
    )


def cell(content: object, name: str = "", style: str = "") -> Markup:
    """Make a table cell with a class and a style."""
    return fill(
        '<td class="{name}" style="{style}">{content}</td>'
        if name or style
        else "<td>{content}</td>",
        name=name,
        style=style,
        content=content,
    )


def _safe(value: object) -> str:
    return value if isinstance(value, Markup) else escape(str(value))
