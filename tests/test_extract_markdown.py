"""Structure that survives extraction: headings, lists, tables, code and formulas, as Markdown and as plain text."""

import pytest
from extraction_pages import PAGE, SENTENCES, extracted
from pydantic import ValidationError
from selectolax.lexbor import LexborHTMLParser

from curate.steps.extract import Extract
from curate.steps.extraction.blocks import read_blocks
from curate.steps.extraction.render import render
from curate.steps.extraction.wholes import with_whole_parts


def text(html: str) -> str:
    """All of a page, as plain text."""
    page = read_blocks(LexborHTMLParser(html))
    return render(page, range(len(page.text)))


def markdown(html: str) -> str:
    """All of a page, as Markdown."""
    page = read_blocks(LexborHTMLParser(html))
    return render(page, range(len(page.text)), markdown=True)


@pytest.mark.parametrize("engine", ["blocks", "trafilatura"])
def test_markdown_keeps_the_article_and_its_code_lines(engine: str) -> None:
    page, drop = extracted(PAGE, engine=engine, format="markdown")
    assert drop is None
    assert SENTENCES[0] in page.text and "Weather" not in page.text
    lines = page.text.splitlines()
    at = lines.index("def thaw(ice):")
    assert lines[at - 1] == "```" and lines[at + 1 : at + 3] == ["    return ice - 1", "```"]


def test_the_heading_of_an_article_is_marked_in_markdown_only() -> None:
    assert "# The winter" in extracted(PAGE, format="markdown")[0].text.splitlines()
    assert "The winter" in extracted(PAGE)[0].text.splitlines()


@pytest.mark.parametrize("engine", ["resiliparse", "agree"])
def test_an_engine_without_markdown_refuses_it(engine: str) -> None:
    with pytest.raises(ValidationError, match="writes no Markdown"):
        Extract(use="extract", engine=engine, format="markdown")


def test_headings_have_their_level() -> None:
    assert markdown("<h1>One</h1><h3><span>Two</span><br>lines</h3><h2><div>Three</div></h2>") == "# One\n\n### Two lines\n\n## Three"


def test_lists_keep_nesting_numbers_and_start() -> None:
    html = "<ul><li>a<ol start=3><li>b</li><li><p>c</p></li></ol></li><li>d</li></ul><p>e</p>"
    assert markdown(html) == text(html) == "- a\n  3. b\n  4. c\n- d\n\ne"


def test_what_follows_in_an_item_is_set_under_it() -> None:
    assert markdown("<ol><li><p>a</p><p>b</p><li>c</ol>") == "1. a\n\n   b\n\n2. c"
    assert text("<ol><li><p>a</p><p>b</p><li>c</ol>") == "1. a\n\nb\n\n2. c"


def test_an_item_whose_outer_item_is_left_out_is_not_set_in() -> None:
    page = read_blocks(LexborHTMLParser("<ul><li>menu<ul><li>a</li><li>b</li></ul></li></ul>"))
    assert render(page, [1, 2], markdown=True) == "- a\n- b"


TIDES = """<table><caption>Tides</caption><thead><tr><th></th><th>High</th><th>Low</th></tr></thead><tbody>
<tr><td>May</td><td>3|4 m</td><td><p>1 m</p><p>at noon</p></td></tr><tr><td>June</td><td></td><td>2<br>m</td></tr></tbody></table>"""


def test_a_table_is_piped_with_its_empty_cells() -> None:
    assert markdown(TIDES).split("\n") == [
        "Tides", "", "|  | High | Low |", "| --- | --- | --- |", "| May | 3\\|4 m | 1 m<br>at noon |", "| June |  | 2 m |",
    ]  # fmt: skip


def test_in_plain_text_a_row_is_a_line_of_cells_between_tabs() -> None:
    assert text(TIDES).split("\n") == ["Tides", "", "\tHigh\tLow", "May\t3|4 m\t1 m at noon", "June\t\t2 m"]


def test_a_long_cell_stays_in_its_row() -> None:
    html = f"<table><tr><th>Year</th><th>Story</th></tr><tr><td>1709</td><td>{SENTENCES[0]}</td><td>ice</td></tr></table>"
    assert text(html) == f"Year\tStory\n1709\t{SENTENCES[0]}\tice"


def test_a_table_of_data_is_kept_as_a_whole_or_not_at_all() -> None:
    page = read_blocks(LexborHTMLParser(f"<p>So:</p>{TIDES}<p>Yes.</p>"))
    everything = list(range(len(page.text)))
    assert page.text[3].startswith("May") and page.text[-1] == "Yes."
    assert with_whole_parts(page, [0, 1, 2, 3, 4, 6, 7]) == everything
    assert with_whole_parts(page, [0, 2, 7]) == [0, 7]
    assert with_whole_parts(page, []) == []


def test_code_is_kept_as_a_whole_but_layout_is_not() -> None:
    code = read_blocks(LexborHTMLParser("<pre><div>first line</div><div>x</div><div>last line</div></pre>"))
    assert with_whole_parts(code, [0, 2]) == [0, 1, 2]
    story = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES * 2)
    layout = read_blocks(LexborHTMLParser(f"<table><tr><td>Home</td><td>{story}</td></tr></table>"))
    assert with_whole_parts(layout, [2, 3, 4, 5, 6, 7]) == [2, 3, 4, 5, 6, 7]


def test_a_list_that_is_mostly_chosen_is_completed() -> None:
    steps = "".join(f"<li>{sentence}</li>" for sentence in SENTENCES)
    page = read_blocks(LexborHTMLParser(f"<p>So:</p><ol>{steps}<li>Serve.</li></ol><ul><li>Share</li><li>{SENTENCES[0]}</li></ul>"))
    assert with_whole_parts(page, [0, 1, 2, 4]) == [0, 1, 2, 4]
    assert with_whole_parts(page, [0, 1, 2, 3, 4]) == [0, 1, 2, 3, 4, 5]


def test_a_table_of_layout_is_not_a_table() -> None:
    story = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES * 2)
    html = f"<table><tr><td>Home</td><td>News</td></tr><tr><td>Aside</td><td>{story}</td></tr></table>"
    assert "---" not in markdown(html)
    assert f"{SENTENCES[0]}\n\n{SENTENCES[1]}" in text(html)


def test_code_keeps_lines_blank_lines_and_language() -> None:
    html = '<div class="highlight-python notranslate"><pre>def a():\n    pass\n\n\n<span>def b</span>():\n    &lt;pass&gt;\n</pre></div>'
    code = "def a():\n    pass\n\n\ndef b():\n    <pass>"
    assert markdown(html) == f"```python\n{code}\n```"
    assert text(html) == code
    assert markdown('<pre><code class="language-rust">fn main() {}</code></pre>') == "```rust\nfn main() {}\n```"


def test_code_in_one_element_a_line_stays_one_block() -> None:
    html = "<table><tr><td><pre>1\n2\n3</pre></td><td><pre><div>a = 1</div><div>  b = 2</div><div>c</div></pre></td></tr></table>"
    assert markdown(html) == "```\na = 1\n  b = 2\nc\n```"
    assert text(html) == "a = 1\n  b = 2\nc"


def test_a_fence_is_longer_than_the_backticks_inside() -> None:
    assert markdown("<pre>```\nx\n```</pre>") == "````\n```\nx\n```\n````"
    assert markdown("<p>Say <code>a`b</code> and <tt>c</tt>.</p>") == "Say `` a`b `` and `c`."
    assert text("<p>Say <code>a`b</code> and <tt>c</tt>.</p>") == "Say a`b and c."


def test_a_quotation_is_marked_on_every_line() -> None:
    assert markdown("<blockquote><p>a</p><p>b<br>c</p></blockquote>") == "> a\n\n> b\n> c"


@pytest.mark.parametrize(
    ("formula", "source"),
    [
        ('<math alttext="E = mc^2"><mi>E</mi><mo>=</mo></math>', "$E = mc^2$"),
        ('<math alttext="{\\displaystyle {\\frac {1}{2}}}"><mi>E</mi></math>', "${\\frac {1}{2}}$"),
        ('<math display="block"><mi>E</mi><annotation encoding="application/x-tex">a &lt; b</annotation></math>', "$$a < b$$"),
        ('<span class="katex"><span class="katex-mathml"><math><mi>E</mi><annotation encoding="application/x-tex">E = mc^2'
         '</annotation></math></span><span class="katex-html" aria-hidden="true">E=mc2</span></span>', "$E = mc^2$"),
        ('<script type="math/tex">E = mc^2</script>', "$E = mc^2$"),
        ('<span class="MathJax_Preview">E=</span><span class="MathJax_Display"><span class="MathJax">E=mc2</span></span>'
         '<script type="math/tex; mode=display">E = mc^2</script>', "$$E = mc^2$$"),
        ('<span><span><math alttext="E = mc^2"></math></span><img class="mwe-math-fallback-image-inline" alt="E"></span>', "$E = mc^2$"),
        ('<img class="mwe-math-fallback-image-inline" alt="{\\displaystyle E=mc^{2}}">', "$E=mc^{2}$"),
    ],
)  # fmt: skip
def test_a_formula_keeps_its_source_once(formula: str, source: str) -> None:
    assert markdown(f"<p>So {formula} holds.</p>") == f"So {source} holds."
    assert text(f"<p>So {formula} holds.</p>") == f"So {source.strip('$')} holds."


def test_formulas_inside_formulas_harm_nothing() -> None:
    assert text("<p>a <math alttext=x><mi>k</mi><math alttext=y><mi>z</mi></math></math> b</p>") == "a x b"


def test_navigation_is_left_out_unless_the_page_hangs_in_it() -> None:
    closed = read_blocks(LexborHTMLParser("<nav><p>Home</p></nav><p>Story</p><footer>Imprint</footer>"), furniture=False)
    assert closed.text == ["Story"]
    unclosed = read_blocks(LexborHTMLParser("<nav><p>Home</p><main><h1>Story</h1></main>"), furniture=False)
    assert unclosed.text == ["Home", "Story"]


def test_what_pops_up_over_a_page_is_left_out() -> None:
    html = f'<p>{SENTENCES[0]}</p><div role="dialog"><p>We value your privacy and so do our partners.</p></div><span class="sr-only">Skip</span>'
    assert read_blocks(LexborHTMLParser(html), furniture=False).text == [SENTENCES[0]]


def test_a_page_that_is_nothing_but_furniture_is_read_whole() -> None:
    page, drop = extracted(PAGE.replace("<body>", '<body class="noprint">'))
    assert drop is None and all(sentence in page.text for sentence in SENTENCES)


def test_edit_links_note_numbers_and_anchors_are_no_text() -> None:
    html = (
        '<h2>Ice<span class="mw-editsection">[edit]</span><a class="headerlink">¶</a></h2>'
        '<p>It froze.<sup class="reference">[1]</sup></p>'
    )
    assert read_blocks(LexborHTMLParser(html), furniture=False).text == ["Ice", "It froze."]
