"""Blocks of a page in, one row of numbers a block out: what a reader's eye would go by.

Columns are named in `NAMES`; the order is part of the trained model. Lengths enter as
logarithms, everything relative to the page is a share between 0 and 1.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, reduce
from itertools import compress, repeat
from operator import or_

import numpy as np

from curate.steps.extraction.blocks import Page
from curate.steps.extraction.density import SHUNNED, TOLL, best_stretch

_NAMED = re.compile(r' (?:class|id|role|itemprop)="([^"]*)"')
_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}")
MAX_KNOWN, MAX_VALUE = 100_000, 100
"""Values of class and id that are remembered, and the characters of one."""
OPENING = 40
"""Characters of a block whose words are looked at one by one."""

PLACES = (
    "nav", "footer", "header", "aside", "form", "table", "li", "article", "main", "figure", "blockquote", "section", "details",
)  # fmt: skip
_PLACE = {tag: 1 << index for index, tag in enumerate(PLACES)}
TAGS = ("p", "li", "heading", "td", "div", "pre", "quote", "caption")
_TAG_GROUP = {
    "p": 0, "li": 1, "dd": 1, "dt": 1, "h1": 2, "h2": 2, "h3": 2, "h4": 2, "h5": 2, "h6": 2, "td": 3, "th": 3, "tr": 3,
    "pre": 5, "blockquote": 6, "figcaption": 7, "caption": 7, "figure": 7, "legend": 7, "summary": 7,
}  # fmt: skip

_TOPIC = {
    "comments": r"comment|kommentar|coment[aá]ri|disqus|leserbrief|respond|repl(?:y|ies)|review|discuss",
    "related": r"relat|recommend|recomend|teaser|promo|similar|popular|outbrain|taboola|recirc|lidas|leia|empfehl|verwandt",
    "consent": r"cookie|consent|gdpr|dsgvo|lgpd|privacy|modal|popup|overlay|dialog|lightbox|offcanvas",
    "sharing": r"shar(?:e|ing)|social|newsletter|subscri|assin|paywall|signup|login",
    "author": r"author|autor|byline|^bio|profile|perfil",
    "caption": r"caption|legend|credit|copyright|bildunter",
    "aside": r"sidebar|widget|aside|^rail|marginal|factbox|infobox",
    "menu": r"menu|^nav|breadcrumb|foot|head|toolbar|pagina|^tags?$",
    "body": r"^(?:article|entry|story|post|body|text|copy)|richtext|materia|noticia",
}  # fmt: skip
"""What the names of elements say of everything inside them, in the languages of most pages; learned weights fill in the rest."""
TOPICS = tuple(_TOPIC)
_TOPIC_BITS = [(1 << index, re.compile(pattern).search) for index, pattern in enumerate(_TOPIC.values())]


@lru_cache(MAX_KNOWN)
def topics_of(part: str) -> int:
    """The topics that a part of a name tells, one bit each."""
    return sum([bit for bit, tells in _TOPIC_BITS if tells(part)])


_TEXT = (
    "length", "words", "linked", "links", "emphasis", "word_length", "digits", "capitals", "stops", "commas", "lines", "bars",
    "ends_in_stop", "ends_in_colon", "is_repeated", "opening", "cookies",
)  # fmt: skip
_NEIGHBOUR = ("length", "linked", "stops", "path")
_AROUND = tuple(f"{name}{step:+d}" for step in (-2, -1, 1, 2) for name in _NEIGHBOUR)
_CONTAINER = ("text", "linked", "blocks", "prose", "share")
_LEVELS = tuple(f"{name}^{level}" for level in (0, 1, 2, 4) for name in _CONTAINER)
_PATH = ("own", "parent", "grandparent", "path", "depth")
_PAGE = ("place", "character_place", "page_text", "page_linked", "page_blocks", "page_prose", "after_h1", "from_h1")
_STRETCH = ("in_stretch", "to_stretch")
_LIKE = ("like^1", "like^2", "like^4")
"""How many containers of the page are named as the one 1, 2 and 4 levels above: teasers and comments come in rows."""
NAMES = (*_TEXT, *TAGS, *PLACES, *TOPICS, *_PATH, *_LIKE, *_LEVELS, *_AROUND, *_PAGE, *_STRETCH)

_FIELD = 21
"""Bits that a count takes in a sum of packed counts: three counts in one number, each below two million."""


def _packed(*classes: Callable[[str], bool]) -> np.ndarray:
    """For every code point below 65,536 the classes that it is in, one field each."""
    table = np.zeros(1 << 16, dtype=np.uint64)
    for place, belongs in enumerate(classes):
        table[[code for code in range(1 << 16) if belongs(chr(code))]] |= np.uint64(1 << _FIELD * place)
    return table


@cache
def _marks() -> np.ndarray:
    """Stops, commas and the like, digits."""
    return _packed(frozenset(".!?…。！？।؟۔").__contains__, frozenset(",;:،、，；：").__contains__, str.isdigit)


@cache
def _forms() -> np.ndarray:
    """Capitals, white space, bars."""
    return _packed(str.isupper, str.isspace, frozenset("|•·›»/").__contains__)


def _counts(table: np.ndarray, codes: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, ...]:
    """How many characters of each text are in each of the table's three classes."""
    sums = np.add.reduceat(table[codes], starts).astype(np.int64)
    return tuple(sums >> _FIELD * place & (1 << _FIELD) - 1 for place in range(3))


def named_values(attributes: str) -> list[str]:
    """What an element's class, id, role and itemprop say."""
    return _NAMED.findall(attributes)


def name_parts(value: str) -> list[str]:
    """The words that a class, id, role or itemprop is made of, lower case."""
    return [part.lower() for part in _PARTS.findall(value)]


class NameWeights:
    """What elements' tags and attributes weigh: the sums of the weights of their name parts.

    Remembers the values of class and id that it met, as the web repeats them; what it
    remembers changes no result.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights
        self.known: dict[str, tuple[float, int]] = {}

    def of(self, elements: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[float, int]]:
        """The weight of each pair of a tag and its attributes, and the topics they name, one bit each."""
        if len(self.known) > MAX_KNOWN:
            self.known.clear()
        known, found = self.known, {}
        for element in elements:
            tag, attributes = element
            total, topics = self.weights.get(f"<{tag}>", 0.0), 0
            for value in named_values(attributes) if attributes else ():
                weight, bits = known.get(value) or self._learnt(value)
                total += weight
                topics |= bits
            found[element] = total, 0 if tag == "body" else topics
        return found

    def _learnt(self, value: str) -> tuple[float, int]:
        parts = name_parts(value)
        learnt = sum(map(self.weights.get, parts, repeat(0.0))), reduce(or_, map(topics_of, parts), 0)
        if len(value) <= MAX_VALUE:
            self.known[value] = learnt
        return learnt


def opening_words(text: str) -> list[str]:
    """The words that a block begins with, lower case."""
    return text[:OPENING].lower().split()


def features(page: Page, name_weights: NameWeights, words: Mapping[str, float]) -> np.ndarray:
    """float32 of shape (blocks, len(NAMES)), column by column in memory. `words` weighs the words of openings."""
    at, parent = np.array(page.container), np.array(page.parent)
    text = _text_columns(page, words)
    above = ancestors(at, parent)
    path, places, like = _path_columns(page, at, parent, name_weights)
    columns = np.empty((len(NAMES), len(at)), dtype=np.float32)
    parts = (text, _tag_columns(page), places, path, like[above[1:]], _level_columns(page, text, above), _around_columns(text, path[3]),
             _page_columns(page, text), _stretch_columns(text, places))  # fmt: skip
    row = 0
    for part in parts:
        columns[row : row + len(part)] = part
        row += len(part)
    return columns.T


def _text_columns(page: Page, words: Mapping[str, float]) -> np.ndarray:
    """What a block's characters say, all blocks counted in one pass."""
    texts = page.text
    size = np.array(list(map(len, texts)), dtype=np.float64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), dtype=np.uint32)
    codes = np.minimum(codes, 0xFFFF)
    ends = np.cumsum(size).astype(np.int64)
    starts = ends - size.astype(np.int64)
    marks = _marks()
    stops, commas, digits = _counts(marks, codes, starts)
    capitals, spaces, bars = _counts(_forms(), codes, starts)
    last = marks[codes[ends - 1]].astype(np.int64)
    count = spaces + 1
    linked, links, emphasis = np.array((page.linked, page.links, page.emphasis), dtype=np.float64)
    seen = Counter(texts)
    weigh = words.get
    opening = [sum([weigh(word, 0.0) for word in opening_words(text)]) for text in texts]
    return np.array((
        np.log1p(size), np.log1p(count), np.minimum(linked / size, 1), np.log1p(links), np.minimum(emphasis / size, 1),
        np.minimum(size / count, 30), digits / size, capitals / size, np.log1p(stops), np.log1p(commas),
        np.log1p([text.count("\n") for text in texts]), bars / count,
        last & 1, last >> _FIELD & 1, [seen[text] > 1 for text in texts], opening, ["ookie" in text for text in texts],
    ))  # fmt: skip


def _tag_columns(page: Page) -> np.ndarray:
    groups = np.array([_TAG_GROUP.get(page.tag[container], 4) for container in page.container])
    return groups == np.arange(len(TAGS))[:, None]


def _path_columns(page: Page, at: np.ndarray, parent: np.ndarray, names: NameWeights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the names of a block's container and its ancestors weigh, which places and topics it lies in, and by container its likes."""
    elements = list(zip(page.tag, page.attributes, strict=True))
    holds = [first < end for first, end in zip(page.first, page.end, strict=True)]
    weights = names.of(set(compress(elements, holds)))
    own = [weights[element] if full else (0.0, 0) for element, full in zip(elements, holds, strict=True)]
    path, depth, places, place_of = [0.0], [0], [0], _PLACE.get
    for (weight, topics), above, tag in zip(own, [-1, *page.parent[1:]], page.tag, strict=True):
        path.append(path[above + 1] + weight)
        depth.append(depth[above + 1] + 1)
        places.append(places[above + 1] | place_of(tag, 0) | topics << len(PLACES))
    one = np.array([weight for weight, _ in own])
    two = one[parent]
    two[0] = 0.0
    three = np.where(parent > 0, two[parent], 0.0)
    bits = np.array(places[1:])[at] >> np.arange(len(PLACES) + len(TOPICS))[:, None] & 1
    _, kind, count = np.unique(one, return_inverse=True, return_counts=True)
    return np.array((one[at], two[at], three[at], np.array(path[1:])[at], np.array(depth[1:])[at])), bits, np.log1p(count)[kind]


def container_sums(page: Page, columns: np.ndarray) -> np.ndarray:
    """Of shape (columns, containers): the sum of block columns over all blocks in a container, at any depth."""
    running = np.zeros((len(columns), columns.shape[1] + 1))
    np.cumsum(columns, axis=1, out=running[:, 1:])
    return running[:, page.end] - running[:, page.first]


def _level_columns(page: Page, text: np.ndarray, above: list[np.ndarray]) -> np.ndarray:
    """Text, links, blocks and prose of the containers around a block, and their share of the page's prose."""
    size = np.expm1(text[0])
    prose = np.where((text[2] < 0.3) & (text[8] > 0), np.maximum(size - 40, 0), 0)
    sums = container_sums(page, np.array((size, size * text[2], np.ones_like(size), prose)))
    whole = max(prose.sum(), 1.0)
    logs = np.log1p(sums[[0, 2, 3]])
    table = np.array((logs[0], sums[1] / np.maximum(sums[0], 1), logs[1], logs[2], sums[3] / whole))
    return np.concatenate([table[:, index] for index in above])


def ancestors(at: np.ndarray, parent: np.ndarray) -> list[np.ndarray]:
    """The containers 0, 1, 2 and 4 levels above."""
    one = parent[at]
    two = parent[one]
    return [at, one, two, parent[parent[two]]]


def _around_columns(text: np.ndarray, path: np.ndarray) -> np.ndarray:
    """The same columns of the two blocks before and behind; -1 beyond the page."""
    number = len(path)
    padded = np.full((len(_NEIGHBOUR), number + 4), -1.0)
    padded[:, 2:-2] = (text[0], text[2], text[8], path)
    return np.concatenate([padded[:, 2 + step : 2 + step + number] for step in (-2, -1, 1, 2)])


def _page_columns(page: Page, text: np.ndarray) -> np.ndarray:
    """Where on the page a block stands, and what page it is."""
    size = np.expm1(text[0])
    number, whole = len(size), size.sum()
    index = np.arange(number)
    tags = page.tag
    first = next((block for block, container in enumerate(page.container) if tags[container] == "h1"), None)
    prose = ((text[2] < 0.3) & (text[8] > 0) & (size > 80)).sum()
    steps = np.full(number, -100) if first is None else np.clip(index - first, -50, 200)
    columns = np.empty((len(_PAGE), number))
    columns[0] = index / number
    columns[1] = (np.cumsum(size) - size) / whole
    columns[2:6] = [[np.log1p(whole)], [(size * text[2]).sum() / whole], [np.log1p(number)], [np.log1p(prose)]]
    columns[6] = -1.0 if first is None else steps >= 0
    columns[7] = steps
    return columns


def _stretch_columns(text: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inside the densest stretch of the page, and how many blocks away from it."""
    shunned = places[[PLACES.index(tag) for tag in sorted(SHUNNED)]].any(axis=0)
    size = np.expm1(text[0])
    free = size - 2 * size * text[2]
    start, end = best_stretch((np.where(shunned, np.minimum(free, 0), free) - TOLL).tolist())
    index = np.arange(len(size))
    away = np.where(index < start, index - start, np.where(index >= end, index - end + 1, 0))
    return away == 0, np.clip(away, -30, 30)
