"""Artifacts in a browser: a local server to look through rows, and to label pairs of answers.

    session = view(Path("runs/web"))          # or label(Path("runs/rl/00-mix-1a2b3c4d"))
    print(session.url)
    session.serve()
"""

from curate.view.session import Session, export, label, view

__all__ = ["Session", "export", "label", "view"]
