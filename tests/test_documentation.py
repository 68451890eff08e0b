from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("user_guide/*.md"))]
PROGRAMS = {
    str(page.relative_to(REPOSITORY)): "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    )
    for page in PAGES
}


@pytest.mark.parametrize("page", [page for page, program in PROGRAMS.items() if program])
def test_the_code_of_a_page_runs_from_top_to_bottom(page):
    exec(compile(PROGRAMS[page], page, "exec"), {"__name__": page})
