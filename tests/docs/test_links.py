"""What a page links to is there."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchor, headings, links


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_every_link_leads_somewhere(page: str) -> None:
    here = ROOT / page
    inside = [link for link in links(here) if "://" not in link]

    assert [link for link in inside if not leads_somewhere(here, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether the file that a link names is there, with the heading it names."""
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not fragment:
        return target.exists()
    return target.is_file() and fragment in map(anchor, headings(target))
