"""A parsed page in, its blocks of text out: the paragraphs, items, headings and rows that a reader sees.

The tree is cut down and serialised by the parser in C, and the well-formed result is read
token by token: a walk over tree nodes from Python costs five times as much.
"""

import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser

from curate.steps.extraction.formulas import DISPLAYED, INLINE, keep_formulas, outermost

INVISIBLE = [
    "script", "style", "noscript", "template", "iframe", "object", "svg", "canvas", "audio", "video", "select", "datalist",
    "button", "textarea", "dialog",
]  # fmt: skip
_TOKEN = re.compile(r"<([^ >]+)([^>]*)>([^<]*)")
_BLOCK = frozenset(
    "html body p div section article main header footer nav aside h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote pre "
    "table caption thead tbody tfoot tr form fieldset legend figure figcaption address details summary center hgroup "
    "menu search td th".split()
)
_BREAK, _CELL_END = "\0", "\1"
CODE = "\2"
"""Stands in `Page.marked` where inline code begins and where it ends."""
_MARK = re.compile(f"[{CODE}{INLINE}{DISPLAYED}]")
MAX_CELL = 80
"""Characters after which a table cell is a block of its own; shorter ones join into their row's."""


@dataclass(slots=True)
class Page:
    """The blocks of a page in reading order, and the block elements (containers) they hang in, outer before inner.

    By columns: block `i` is the i-th entry of each of the first five lists, a container of the next six.
    """

    text: list[str] = field(default_factory=list)
    """Whitespace collapsed, except in `pre`; `\\n` where the page breaks the line, `\\t` where a table cell ends."""
    container: list[int] = field(default_factory=list)
    """The innermost container."""
    linked: list[int] = field(default_factory=list)
    """Characters inside links."""
    links: list[int] = field(default_factory=list)
    emphasis: list[int] = field(default_factory=list)
    """Characters inside b, strong, em, i."""
    parent: list[int] = field(default_factory=list)
    """The container around it; the root is its own."""
    tag: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    """Its first block, at any depth."""
    end: list[int] = field(default_factory=list)
    """Behind its last block."""
    last: list[int] = field(default_factory=list)
    """Behind its last inner container."""
    marked: dict[int, str] = field(default_factory=dict)
    """The text of a block with code or formulas, these between marks."""
    code: dict[int, str] = field(default_factory=dict)
    """Attributes of the `code` element inside a `pre`."""
    ends_cell: set[int] = field(default_factory=set)
    """Blocks behind which a table cell ends, though their row goes on in the next block."""


_FURNITURE = (
    "nav, footer, [role=navigation], [role=dialog], .sr-only, .visually-hidden, .screen-reader-text, "
    ".mw-editsection, .mw-cite-backlink, sup.reference, .headerlink, .noprint"
)
"""What surrounds text or pops up over it, and what wikis and documentation generators put inside it: edit links, note numbers, anchors."""
_BODY = "h1, article, main, pre"
"""What shows that furniture was opened and never closed, so that the page hangs in it."""


def read_blocks(tree: LexborHTMLParser, furniture: bool = True) -> Page:
    """The visible text of a page in blocks. Removes invisible elements from `tree`, and furniture where not wanted.

    Of 2,042 segments of main text on 687 pages none lies in a `nav` or `footer`, but a third of all blocks.
    """
    formulas = keep_formulas(tree)
    tree.strip_tags(INVISIBLE)
    if not furniture:
        for node in outermost(tree.css(_FURNITURE)):
            if node.css_first(_BODY) is None:
                node.decompose()
    body = tree.body
    return _Reader(formulas).read(_uncommented(body.html or "") if body is not None else "")


def _uncommented(source: str) -> str:
    """The serialised page without comments."""
    if "<!--" not in source:
        return source
    before, *pieces = source.split("<!--")
    return before + "".join(piece.partition("-->")[2] for piece in pieces)


_COMPLAINT = re.compile(r"(?:PHP )?(?:Warning|Notice|Deprecated|Strict Standards|Fatal error|Parse error): .+ on line \d+", re.S)
"""What PHP writes between the elements of a page when its program is at fault."""
_QUOTES_CODE = frozenset({"p", "li", "td", "dd", "pre", "blockquote"})

_OPEN, _CLOSE, _CELL, _LINE, _LINK, _EMPHASIS, _CODE = range(7)
_KINDS = {tag: _OPEN for tag in _BLOCK} | {f"/{tag}": _CLOSE for tag in _BLOCK}
_KINDS |= dict.fromkeys(("td", "th", "/td", "/th"), _CELL) | dict.fromkeys(("br", "hr"), _LINE)
_KINDS |= dict.fromkeys(("a", "/a"), _LINK)
_KINDS |= {f"{slash}{tag}": _EMPHASIS for tag in ("b", "strong", "em", "i") for slash in ("", "/")}
_KINDS |= {f"{slash}{tag}": _CODE for tag in ("code", "kbd", "samp", "tt") for slash in ("", "/")}


class _Reader:
    """State of one pass over the tokens of one page."""

    def __init__(self, marked: bool) -> None:
        self.page = Page()
        self.open: list[int] = []
        self.parts: list[str] = []
        self.linked = self.links = self.emphasis = 0
        self.in_link = self.in_emphasis = self.in_pre = 0
        self.has_marks = marked

    def read(self, source: str) -> Page:
        """One look at every tag and the text behind it; the serialiser leaves no `<` or `>` inside attributes."""
        kind_of, start, close = _KINDS.get, self._start, self._close
        for tag, attributes, text in _TOKEN.findall(source):
            kind = kind_of(tag)
            if kind is not None:
                if kind == _OPEN:
                    start(tag, attributes)
                elif kind == _CLOSE:
                    close(tag)
                elif kind == _LINK:
                    step = -1 if tag == "/a" else 1
                    self.in_link += step
                    self.links += step > 0
                else:
                    self._inside(kind, tag, attributes)
            if text and (self.parts or not text.isspace()):
                self.parts.append(text)
                if self.in_link > 0:
                    self.linked += len(text.strip())
                if self.in_emphasis > 0:
                    self.emphasis += len(text.strip())
        if self.parts:
            self._flush()
        return self.page

    def _inside(self, kind: int, tag: str, attributes: str) -> None:
        """A tag that does not end a block by itself, and is no link."""
        if kind == _EMPHASIS:
            self.in_emphasis += -1 if tag[0] == "/" else 1
        elif kind == _LINE:
            self._line_break(tag)
        elif kind == _CELL:
            self._cell(tag, attributes)
        else:
            self._inline_code(attributes)

    def _inline_code(self, attributes: str) -> None:
        if not self.in_pre:
            self.has_marks = True
            self.parts.append(CODE)
        elif attributes and self.open:
            self.page.code[self.open[-1]] = attributes

    def _cell(self, tag: str, attributes: str) -> None:
        """Short cells stay in one block with their row."""
        parts: list[str] = []
        if self.parts and sum(map(len, self.parts)) <= MAX_CELL:
            parts, self.parts = self.parts, []
        if tag[0] == "/":
            self._close(tag)
            self.parts = [*parts, _CELL_END]
        else:
            self._start(tag, attributes)
            self.parts = parts

    def _line_break(self, tag: str) -> None:
        """One `<br>` is a line, two are a new block."""
        for part in reversed(self.parts):
            if tag == "hr" or (part == _BREAK and not self.in_pre):
                return self._flush()
            if not part.isspace():
                break
        if self.parts:
            self.parts.append(_BREAK)
        return None

    def _start(self, tag: str, attributes: str) -> None:
        """A container opens; what was read so far is a block."""
        if self.parts:
            self._flush()
        page, number, block = self.page, len(self.page.tag), len(self.page.text)
        page.parent.append(self.open[-1] if self.open else 0)
        page.tag.append(tag)
        page.attributes.append(attributes)
        page.first.append(block)
        page.end.append(block)
        page.last.append(number + 1)
        self.open.append(number)
        if tag == "pre":
            self.in_pre += 1

    def _close(self, tag: str) -> None:
        if self.parts:
            self._flush()
        if self.open:
            number = self.open.pop()
            self.page.end[number] = len(self.page.text)
            self.page.last[number] = len(self.page.tag)
        if tag == "/pre":
            self.in_pre -= 1

    def _flush(self) -> None:
        """End the present block."""
        joined = "".join(self.parts)
        if "&" in joined:
            joined = _unescaped(joined)
        text = _verbatim(joined) if self.in_pre else _collapsed(joined)
        page = self.page
        if self.has_marks and _MARK.search(text):
            page.marked[len(page.text)] = text
            text = _MARK.sub("", text)
            if not text.strip():
                del page.marked[len(page.text)]
        if text[-1:] == "\t":
            text = text.rstrip("\t")
            page.ends_cell.add(len(page.text))
        if text and not (" on line " in text and self._is_complaint(text)):
            page.text.append(text)
            page.container.append(self.open[-1] if self.open else 0)
            page.linked.append(self.linked)
            page.links.append(self.links)
            page.emphasis.append(self.emphasis)
        self.parts = []
        self.linked = self.links = self.emphasis = 0

    def _is_complaint(self, text: str) -> bool:
        """True for a server's error message that nobody wrote about."""
        around = self.page.tag[self.open[-1]] if self.open else ""
        return around not in _QUOTES_CODE and _COMPLAINT.fullmatch(text) is not None


def _unescaped(text: str) -> str:
    """Without the four references that a serialiser writes into text."""
    return text.replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _collapsed(joined: str) -> str:
    """Words by one space, lines where the page breaks them; a row of cells is one line."""
    if _CELL_END in joined:
        cells = [" ".join(cell.replace(_BREAK, " ").split()) for cell in joined.split(_CELL_END)]
        return "\t".join(cells) if any(cells) else ""
    if _BREAK not in joined:
        return " ".join(joined.split())
    return "\n".join(line for part in joined.split(_BREAK) if (line := " ".join(part.split())))


def _verbatim(joined: str) -> str:
    """Preformatted text: line breaks and indentation stay."""
    return joined.replace(_BREAK, "\n").replace("\r\n", "\n").strip("\n").rstrip()
