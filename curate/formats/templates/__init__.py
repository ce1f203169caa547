"""Chat templates whose assistant turns stand between `{% generation %}` marks: a name in, a file out.

A trainer that masks by these marks learns the assistant's words and the token that ends its
turn, and nothing else. The text is that of the published formats.
"""

from pathlib import Path

NAMES = ("chatml", "llama2", "llama3", "llama3_1", "gemma", "mistral", "alpaca", "vicuna")


def template_file(name: str) -> Path:
    """The file of one of `NAMES`."""
    return Path(__file__).with_name(f"{name}.jinja")
