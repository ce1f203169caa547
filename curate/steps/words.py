"""Text in, words out: spaCy's own tokens through a memo, as arrays of word numbers.

A chunk between two white spaces always gives the same tokens, so each is tokenised once and
remembered. The memo is a pure cache: when it is full it starts afresh, and no result changes.
"""

import csv
import re
import sys
import unicodedata
from array import array
from collections.abc import Iterable
from functools import cache, cached_property, lru_cache

import numpy as np
import regex

from curate.steps.spacy_cut import LONGEST_MARKS, SpacyCut
from curate.steps.tokenizers import sentence_ends
from curate.steps.url_lists import asset

CHUNKS_REMEMBERED = 200_000
"""By all tokenizers of a process together, about 40 MB; each is left the fewest."""
FEWEST_REMEMBERED = 10_000
LONGEST_REMEMBERED = 40
SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
CHARACTER_WORDS = regex.compile(rf"[{SCRIPTS}]\p{{M}}*|(?:(?![{SCRIPTS}])[\p{{L}}\p{{N}}\p{{M}}])+|\S")
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo", "dz", "yue", "wuu"})
"""Languages written without spaces. datatrove cuts them with jieba, SudachiPy, pythainlp and others,
which are no dependencies of ours: here each character is a word."""
NEED_MORE = frozenset({"zh", "ja", "vi", "th", "ko"})
"""spaCy's tokenizers that ask for a further package; `xx`, the neutral one, stands in for `vi` and `ko`."""
PIECES = re.compile(r"\S+|\s+")
SPACE = "\t"

State = tuple[int, int, int, int]
WORD: State = (0, 0, 1, 0)
"""Of letters, and of white space: it ends no sentence, and begins one where the one before has ended."""


@cache
def _assigned() -> dict[str, str]:
    """The spaCy tokenizer of each language and `language_Script` that datatrove gives one; the others are `""`.

    Read as datatrove reads it, but without the import of all of its tokenizers: the first row of a
    language and script counts, and the last script of a language is the one that its bare code stands for.
    """
    found: dict[str, str] = {}
    for row in csv.DictReader(asset("tokenizer_assignment.csv").read_text(encoding="utf-8").splitlines()):
        codes = [row["code_3"]] + ([row["code_1"]] if row["code_1"] and row["default_code_1"] else [])
        for code in codes if row["type"] else []:
            if f"{code}_{row['script']}" not in found:
                tokenizer = row["tok_code"] if row["type"] == "SpaCyTokenizer" else ""
                found[f"{code}_{row['script']}"] = tokenizer
                found |= {code: tokenizer} if row["default_script"] else {}
    return found


def tokenizer_code(language: str | None) -> str:
    """The spaCy tokenizer for an ISO 639-1 code, by datatrove's own table; None is English, the unknown is `xx`."""
    if language is None:
        return "en"
    code = _assigned().get(language, "")
    return code if code and code not in NEED_MORE else "xx"


def punctuation() -> frozenset[str]:
    """Characters of which a word without any other counts as a symbol (datatrove's set)."""
    from datatrove.utils.text import PUNCTUATION_SET

    return frozenset(PUNCTUATION_SET)


class Numbers(dict[str, int]):
    """Numbers for words, given as they turn up; `words` lists them in that order."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def __missing__(self, word: str) -> int:
        self[word] = place = len(self.words)
        self.words.append(word)
        return place


class WordTable:
    """Numbers for words, and what the filters ask of each: length, symbol or not, letters or not."""

    def __init__(self) -> None:
        self.numbers = Numbers()
        self.words = self.numbers.words
        self.punctuation = punctuation()
        self._known = 0
        self._lengths, self._symbols, self._alphabetic = np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.bool_)

    def _look(self) -> None:
        """Learn what is asked of words from those that are new; what was given out stays as it is."""
        new = self.words[self._known :]
        if not new:
            return
        start, self._known = self._known, len(self.words)
        if self._known > len(self._lengths):
            columns = (self._lengths, self._symbols, self._alphabetic)
            self._lengths, self._symbols, self._alphabetic = (np.resize(column, 2 * self._known) for column in columns)
        place = slice(start, self._known)
        self._lengths[place] = list(map(len, new))
        self._symbols[place] = [not word.isalpha() and self.punctuation.issuperset(word) for word in new]
        self._alphabetic[place] = [word.isalpha() or any(map(str.isalpha, word)) for word in new]

    @property
    def lengths(self) -> np.ndarray:
        """Characters of each word so far, int32; like the next two to be read only."""
        self._look()
        return self._lengths[: self._known]

    @property
    def symbols(self) -> np.ndarray:
        """True for a word that is punctuation and nothing else."""
        self._look()
        return self._symbols[: self._known]

    @property
    def alphabetic(self) -> np.ndarray:
        """True for a word with a letter."""
        self._look()
        return self._alphabetic[: self._known]


class Chunks(dict[str, bytes]):
    """Chunk -> word numbers as int32 bytes, which join faster than lists; filled as chunks turn up."""

    def __init__(self, cut: "SpacyCut", table: WordTable) -> None:
        super().__init__()
        self.cut, self.rules = cut, cut.rules
        self.numbers = table.numbers
        self.merged: dict[str, tuple[bool, bool]] = {}

    def __missing__(self, chunk: str) -> bytes:
        if chunk.isalpha() and chunk not in self.rules:
            numbers = self.numbers[chunk].to_bytes(4, sys.byteorder)
            if len(chunk) <= LONGEST_REMEMBERED:
                self[chunk] = numbers
            return numbers
        tokens = self.cut.tokens(chunk)
        numbers = array("i", map(self.numbers.__getitem__, tokens)).tobytes()
        if len(chunk) <= LONGEST_REMEMBERED:
            self[chunk] = numbers
            edges = self.cut.merged_edges(chunk, tokens)
            if any(edges):
                self.merged[chunk] = edges
        return numbers


class Words:
    """Words of a language: numbers of a table that `words` turns back into strings."""

    def __init__(self, cut: SpacyCut, by_character: bool) -> None:
        self.by_character = by_character
        self.cut = cut
        self.table = WordTable()
        self.chunks = Chunks(self.cut, self.table)
        self.states: dict[str, State] = {SPACE: WORD}

    def full(self, bound: int) -> bool:
        """True where the memo has reached its bound and a fresh one should take over."""
        return len(self.chunks) > bound or len(self.table.words) > bound

    def numbers(self, text: str) -> np.ndarray:
        """The words of a text as int32 numbers of `table`, in order."""
        if self.by_character:
            return self._listed(CHARACTER_WORDS.findall(text))
        chunks = text.split()
        numbers = b"".join(map(self.chunks.__getitem__, chunks))
        if self._reaches_over(text, chunks):
            numbers = b"".join(map(self._line, text.split("\n")))
        return np.frombuffer(numbers, np.int32)

    def _line(self, line: str) -> bytes:
        """The words of one line, by the whole rules of spaCy where they reach over a space; none reaches over a newline."""
        chunks = line.split()
        if self._reaches_over(line, chunks) and max(map(len, chunks)) <= LONGEST_MARKS:
            return self._listed(self.cut.whole(line)).tobytes()
        return b"".join(map(self.chunks.__getitem__, chunks))

    def _reaches_over(self, text: str, chunks: list[str]) -> bool:
        return self._marks_meet(chunks) or self.cut.crosses_spaces(text, chunks)

    def _marks_meet(self, chunks: list[str]) -> bool:
        """True where marks that were put together stand beside others: spaCy may put them together otherwise."""
        merged = self.chunks.merged
        if merged.keys().isdisjoint(chunks):
            return False
        for place, chunk in enumerate(chunks):
            at_start, at_end = merged.get(chunk, (False, False))
            if at_start and place and not chunks[place - 1][-1].isalnum():
                return True
            if at_end and place + 1 < len(chunks) and not chunks[place + 1][0].isalnum():
                return True
        return False

    def _listed(self, words: list[str]) -> np.ndarray:
        return np.fromiter(map(self.table.numbers.__getitem__, words), np.int32, len(words))

    @cached_property
    def ends(self) -> frozenset[str]:
        return sentence_ends()

    def sentences(self, line: str, chunks: list[str]) -> int:
        """How many sentences spaCy's sentencizer finds in a line whose chunks are given; at least 1.

        A sentence starts where a token that is no punctuation follows one that ends a sentence.
        """
        if self.by_character:
            return 1 + self._state(CHARACTER_WORDS.findall(line))[0]
        if self.cut.crosses_spaces(line, chunks) and max(map(len, chunks)) <= LONGEST_MARKS:
            return 1 + self._state(self.cut.with_spaces(line))[0]
        if " ".join(chunks) != line:
            chunks = with_wide_spaces(line)
        states = self.states
        starts = ended = 0
        for chunk in chunks:
            state = states.get(chunk) or self._remember(chunk)
            if ended:
                starts, ended = starts + state[2], state[3]
            else:
                starts, ended = starts + state[0], state[1]
        return 1 + starts

    def _remember(self, chunk: str) -> State:
        if chunk.isalpha() and len(chunk) <= LONGEST_REMEMBERED:
            self.states[chunk] = WORD
            return WORD
        tokens = np.frombuffer(self.chunks[chunk], np.int32).tolist()
        state = self._state(map(self.table.words.__getitem__, tokens))
        if len(chunk) <= LONGEST_REMEMBERED:
            self.states[chunk] = state
        return state

    def _state(self, tokens: Iterable[str]) -> State:
        """Sentence starts and whether the last one is ended: for a fresh start, then after an end."""
        starts, ended, starts_after, ended_after = 0, 0, 0, 1
        for token in tokens:
            if token in self.ends:
                ended = ended_after = 1
            elif not is_punctuation(token):
                starts += ended
                starts_after += ended_after
                ended = ended_after = 0
        return starts, ended, starts_after, ended_after


def with_wide_spaces(line: str) -> list[str]:
    """The chunks of a line, and `SPACE` where white space is a token of its own: all but one space after a chunk."""
    pieces = PIECES.findall(line)
    wide = [place for place, piece in enumerate(pieces) if piece.isspace() and (piece != " " or place == 0)]
    for place in wide:
        pieces[place] = SPACE
    return [piece for piece in pieces if piece != " "]


def is_punctuation(token: str) -> bool:
    """True where every character is punctuation (spaCy's `is_punct`)."""
    return all(unicodedata.category(character)[0] == "P" for character in token)


_IN_USE: dict[tuple[str, bool], Words] = {}
"""One for each tokenizer in this process; a cache, so that no result depends on it."""


@lru_cache(maxsize=256)
def _key(language: str | None) -> tuple[str, bool]:
    return tokenizer_code(language), language in WITHOUT_SPACES


def words_of(language: str | None) -> Words:
    """The tokenizer of a language, shared in this process; ISO 639-1, None is English.

    A text keeps the one it was given, so a fresh one may take over at any time.
    """
    key = _key(language)
    words = _IN_USE.get(key)
    if words is None or words.full(max(CHUNKS_REMEMBERED // len(_IN_USE), FEWEST_REMEMBERED)):
        _IN_USE[key] = words = Words(SpacyCut(key[0]), key[1])
    return words
