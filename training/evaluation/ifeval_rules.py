"""The 25 verifiable instructions of IFEval (Zhou et al. 2023, table 1): an answer and an instruction's arguments in, followed or not out.

Each function says what its row of the table asks for. Keywords are matched without regard to case; counting
follows what the paper's prompts say: paragraphs stand between `***`, or between two line ends where a first
word is asked for, sections begin with their word as it is written and a number, a highlight stands between asterisks.
"""

import json
import re
import unicodedata
from collections.abc import Callable

from curate.steps.language import code, identify
from curate.steps.words import words_of

_WORD = re.compile(r"\w+")
_SPELLED = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
"""A word as it is written, hyphens and apostrophes inside it."""
_CLITIC = re.compile(r"(?<=\w)['’][a-z]{1,2}\b")
"""What leaves a word in capitals one: `NASA's`, `I'm`."""
_QUOTES = "\"'“”‘’«»"
_HIGHLIGHT = re.compile(r"\*\*(?!\s)[^\n*]+\*\*|\*(?!\s)[^\n*]+\*")
"""An asterisk before a space opens nothing in Markdown: it is a bullet."""
_BULLET = re.compile(r"^\s*(?:\*(?!\*)|-(?!-))", re.MULTILINE)
"""`---` is a rule, not a point."""
_FENCE = re.compile(r"^```(?:json)?\s*\n?(.*?)\n?```$", re.DOTALL | re.IGNORECASE)
_RELATIONS = {"less than": lambda count, number: count < number, "at least": lambda count, number: count >= number}
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def related(count: int, relation: str, number: int) -> bool:
    """Whether the count stands in the relation to the number. Raises ValueError for a relation that the paper has not."""
    if relation not in _RELATIONS:
        raise ValueError(f"relation {relation!r} is none of: {', '.join(_RELATIONS)}")
    return _RELATIONS[relation](count, number)


def unmarked(text: str) -> str:
    """The text without accents and vowel signs that must stand by themselves in Unicode, and would cut a word in two."""
    return "".join(sign for sign in unicodedata.normalize("NFC", text) if unicodedata.category(sign)[0] != "M")


def count_sentences(text: str) -> int:
    """Sentences of a text, as the words of its language end them."""
    line = " ".join(text.split())
    return words_of(identify(line).language).sentences(line, line.split()) if line else 0


def in_language(text: str, language: str) -> bool:
    """Whether most of the text is in a language; a text without a letter is in none."""
    return identify(text).language == code(language)


def parts_between(text: str, divider: str) -> list[str] | None:
    """What stands between dividers, the outermost of which may be left open; None where two stand together."""
    parts = [part.strip() for part in text.split(divider)]
    inner = parts[1 if not parts[0] else 0 : -1 if len(parts) > 1 and not parts[-1] else None]
    return inner if all(inner) else None


def includes_keywords(answer: str, keywords: list[str]) -> bool:
    return all(word.casefold() in answer.casefold() for word in keywords)


def keyword_frequency(answer: str, keyword: str, frequency: int, relation: str) -> bool:
    return related(answer.casefold().count(keyword.strip().casefold()), relation, frequency)


def forbids_words(answer: str, forbidden_words: list[str]) -> bool:
    """Whole words; ends that are no letters, as of `C++`, stand for themselves."""
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return related(answer.lower().count(letter.lower()), let_relation, let_frequency)


def response_language(answer: str, language: str) -> bool:
    return in_language(answer, language)


def number_paragraphs(answer: str, num_paragraphs: int) -> bool:
    found = parts_between(answer, "***")
    return found is not None and len(found) == num_paragraphs


def number_words(answer: str, num_words: int, relation: str) -> bool:
    return related(len(_WORD.findall(unmarked(answer))), relation, num_words)


def number_sentences(answer: str, num_sentences: int, relation: str) -> bool:
    return related(count_sentences(answer), relation, num_sentences)


def nth_paragraph_first_word(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Behind a quotation mark, but not behind asterisks, which loose accuracy alone forgives."""
    paragraphs = [part.strip() for part in answer.split("\n\n") if part.strip()]
    if len(paragraphs) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    found = _SPELLED.match(unmarked(paragraphs[nth_paragraph - 1]).lstrip(_QUOTES))
    word = found[0].casefold() if found else ""
    return unmarked(first_word).casefold() in (word, _CLITIC.sub("", word))


def postscript(answer: str, postscript_marker: str) -> bool:
    """The marker, its letters maybe apart."""
    return re.search(re.escape(postscript_marker.strip()).replace(r"\.", r"\.\s?"), answer, re.IGNORECASE) is not None


def number_placeholders(answer: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\[\]\n]*\]", answer)) >= num_placeholders


def number_bullet_lists(answer: str, num_bullets: int) -> bool:
    return len(_BULLET.findall(answer)) == num_bullets


def constrained_response(answer: str) -> bool:
    return any(option in answer for option in OPTIONS)


def title(answer: str) -> bool:
    return any(found.strip("<> \t") for found in re.findall(r"<<([^\n]+?)>>", answer))


def number_highlighted_sections(answer: str, num_highlights: int) -> bool:
    return sum(bool(found.strip("* \t")) for found in _HIGHLIGHT.findall(answer)) >= num_highlights


def multiple_sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"\b{re.escape(section_spliter.strip())}\s?\d+", answer)) >= num_sections


def json_format(answer: str) -> bool:
    fenced = _FENCE.match(answer.strip())
    try:
        json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        return False
    return True


def repeat_prompt(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


def two_responses(answer: str) -> bool:
    found = parts_between(answer, "******")
    return found is not None and len(found) == 2 and found[0] != found[1]


def english_capital(answer: str) -> bool:
    return answer.isupper() and in_language(answer, "en")


def english_lowercase(answer: str) -> bool:
    return answer.islower() and in_language(answer, "en")


def capital_word_frequency(answer: str, capital_frequency: int, capital_relation: str) -> bool:
    words = _SPELLED.findall(_CLITIC.sub("", answer))
    return related(sum(word.isupper() for word in words), capital_relation, capital_frequency)


def end_checker(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').rstrip().casefold().endswith(end_phrase.strip().casefold())


def quotation(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def no_comma(answer: str) -> bool:
    return "," not in answer


RULES: dict[str, Callable[..., bool]] = {
    "keywords:existence": includes_keywords,
    "keywords:frequency": keyword_frequency,
    "keywords:forbidden_words": forbids_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:number_words": number_words,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
    "detectable_content:postscript": postscript,
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:constrained_response": constrained_response,
    "detectable_format:title": title,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:json_format": json_format,
    "combination:repeat_prompt": repeat_prompt,
    "combination:two_responses": two_responses,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
    "change_case:capital_word_frequency": capital_word_frequency,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
    "punctuation:no_comma": no_comma,
}
"""By the names that the paper's prompts carry."""
