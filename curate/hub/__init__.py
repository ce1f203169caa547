"""Publishing: a finished artifact in; its data, card, Croissant and provenance at the Hub or in an object store out (push)."""
