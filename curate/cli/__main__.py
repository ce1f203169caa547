"""`python -m curate.cli` is the command `curate`."""

from curate.cli import main

main()
