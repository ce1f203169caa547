"""An opt-out that reaches every descendant: ids, URLs or domains in, a root without those documents out."""

from curate.remove.run import Removal, as_text, remove

__all__ = ["Removal", "as_text", "remove"]
