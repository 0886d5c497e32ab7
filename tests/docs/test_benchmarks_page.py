"""docs/appendix/benchmarks.md is made of the committed figures."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_page_is_what_the_figures_make_of_it():
    checked = subprocess.run(
        [sys.executable, "-m", "benchmarks.page", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.stdout + checked.stderr == ""
