"""Artifacts in a browser: a local server to look through rows, and to label pairs of answers.

    session = view(Path("runs/web"))          # or label(Path("runs/rl/00-mix-1a2b3c4d"))
    print(session.url)
    session.serve()
"""

from curate.errors import UsageError

try:
    from curate.view.session import Session, export, label, view
except ModuleNotFoundError as missing:
    raise UsageError(f"looking through rows and labelling need {missing.name}: pip install 'curate[view]'") from None

__all__ = ["Session", "export", "label", "view"]
