"""Run a recipe against a simulated model server, started before and stopped after: what `make rlaif` does.

    python tests/judge_simulated.py [RECIPE] [options of curate run]

Its judge leans to the first answer by 0.8 log-odds. Whatever it answers is marked as simulated.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from judge_server import running

ROOT = Path(__file__).resolve().parents[1]
TRUTH = {"judges": {"judge-a": {"position": 0.8, "slope": 1.5}}}


def main() -> int:
    recipe, *options = sys.argv[1:] or [str(ROOT / "pipelines" / "rlaif.yaml")]
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **TRUTH) as server:
        addresses = {f"CURATE_ENDPOINT_{name}_URL": server.url for name in ("WRITER", "JUDGE")}
        return subprocess.run([sys.executable, "-m", "curate.cli", "run", recipe, *options], env={**os.environ, **addresses}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
