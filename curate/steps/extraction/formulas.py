"""A parsed page in, its formulas replaced by their TeX source, in place.

MathML, KaTeX, MathJax and Wikipedia's images each keep the source beside what is drawn;
without this a formula is lost, or read twice as loose symbols.
"""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

INLINE, DISPLAYED = "\3", "\4"
"""Marks before and after a formula: one in a line of text, and one set apart."""

_WHERE = (
    "math, .katex-html, img.mwe-math-fallback-image-inline, img.mwe-math-fallback-image-display, "
    "script[type^='math/tex']"
)
_SIGN = b"math"
"""In the source of every page with a formula that keeps its source: looking for it costs a tenth of looking for elements."""
_ANNOTATION = "annotation[encoding='application/x-tex']"
_DRAWN = ".MathJax, .MathJax_Preview, .MathJax_Display, .MathJax_SVG, .MathJax_SVG_Display, .MathJax_CHTML"
_STYLE = re.compile(r"\{\s*\\(?:displaystyle|textstyle)\b\s*(.*)\}", re.S)


def keep_formulas(tree: LexborHTMLParser) -> bool:
    """Leave one copy of each formula, its TeX between marks where the page gives it, else its symbols.

    True where any was found.
    """
    if tree.root is None or _SIGN not in tree.raw_html:
        return False
    nodes = tree.css(_WHERE)
    if any(node.tag == "script" for node in nodes):
        for node in outermost(tree.css(_DRAWN)):
            node.decompose()
        nodes = tree.css(_WHERE)
    for node in outermost(nodes):
        _replace(node)
    return bool(nodes)


def outermost(nodes: list[LexborNode]) -> list[LexborNode]:
    """The nodes inside none of the others: what is inside is freed with what is around it."""
    chosen = {node.mem_id for node in nodes}
    return [node for node in nodes if not _lies_in(node, chosen)]


def _lies_in(node: LexborNode, chosen: set[int]) -> bool:
    parent = node.parent
    while parent is not None and parent.mem_id not in chosen:
        parent = parent.parent
    return parent is not None


def _replace(node: LexborNode) -> None:
    attributes = node.attributes
    if node.tag == "math":
        _to_source(node, attributes)
    elif node.tag == "script":
        node.replace_with(_marked(node.text(deep=True), "mode=display" in (attributes.get("type") or "")))
    elif node.tag == "img" and not _follows_source(node):
        node.replace_with(_marked(attributes.get("alt") or "", "display" in (attributes.get("class") or "")))
    else:
        node.decompose()


def _to_source(node: LexborNode, attributes: dict[str, str | None]) -> None:
    annotation = node.css_first(_ANNOTATION)
    source = annotation.text(deep=True) if annotation is not None else attributes.get("alttext")
    if source and source.strip():
        node.replace_with(_marked(source, attributes.get("display") == "block"))


def _marked(source: str, displayed: bool) -> str:
    """TeX on one line between marks, without the wrapper that Wikipedia's renderer adds."""
    source = source.strip()
    wrapped = _STYLE.fullmatch(source)
    if wrapped and _balanced(wrapped[1]):
        source = wrapped[1].strip()
    mark = f" {DISPLAYED}" if displayed else INLINE
    return f"{mark}{source}{mark[::-1]}" if source else ""


def _balanced(source: str) -> bool:
    """True where no brace closes more than was opened."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", source):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def _follows_source(node: LexborNode) -> bool:
    """True for a picture whose formula stands right before it as MathML, which was kept."""
    before = node.prev
    return before is not None and before.text(deep=True).rstrip().endswith((INLINE, DISPLAYED))
