"""`python scripts/picture.py DEMO OUT.svg`: the first picture on the model's page of a demo."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

PICTURE = re.compile(r'<figure>.*?<img[^>]* src="data:image/svg\+xml;base64,([^"]+)"', re.DOTALL)


def main() -> None:
    """Copy it out of the page."""
    page, picture = Path(sys.argv[1]) / "out" / "group.html", Path(sys.argv[2])
    found = PICTURE.search(page.read_text("utf-8"))
    if found is None:
        sys.exit(f"{page}: has no picture of a held-out participant; run `make demo` first")
    picture.write_bytes(base64.b64decode(found[1]))


if __name__ == "__main__":
    main()
