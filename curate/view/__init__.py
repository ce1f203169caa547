"""Artifacts in a browser: a local server to look through rows, and to label pairs of answers.

    session = view(Path("runs/web"))          # or label(Path("runs/rl/00-mix-1a2b3c4d")), of curate.view.session
    print(session.url)
    session.serve()

Other rooms read rows and labels as they lie on disk, so nothing is imported here: only the server needs an extra.
"""
