"""A real headless browser for tests of pages: did every picture load, did anything complain, what is on the page?

page = open_page(folder / "index.html", tmp_path)
assert page.problems() == []
assert "episode_0001" in page.text

Without a browser a test is skipped with a sentence that says what to install; where the variable CI is set it fails.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

VARIABLE, NAME = "INSERTION_VLA_BROWSER", "chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--virtual-time-budget=10000", "--enable-logging=stderr",
)  # fmt: skip
TIMEOUT_S = 300
MARK = "insertion-vla-probe"
# Pictures below the fold wait for the reader: asked for before the page has loaded, all of them have come by then.
PROBE = f"""
<script>
const pictures = [...document.images];
for (const picture of pictures) picture.loading = "eager";
window.addEventListener("load", () => {{
  const found = {{
    pictures: pictures.map(picture => [picture.getAttribute("src").slice(0, 200), picture.naturalWidth]),
    links: [...document.querySelectorAll("a[href]")].map(link => link.getAttribute("href")),
    text: document.body.innerText,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }};
  const result = document.createElement("script");
  result.type = "application/json";
  result.id = "{MARK}";
  result.textContent = JSON.stringify(found).replaceAll("<", "\\\\u003c");
  document.body.append(result);
}});
</script>
"""


@dataclass(frozen=True)
class Page:
    """What the browser made of a page.

    Attributes:
        pictures: source and natural width [px] of each; 0 where it could not be loaded.
        links: addresses as they are written.
        text: as a reader sees it.
        overflow: how much wider than the window the page is [px].
        console: complaints of the browser.
    """

    pictures: list[tuple[str, int]]
    links: list[str]
    text: str
    overflow: int
    console: list[str]

    def problems(self) -> list[str]:
        """Pictures that did not load, complaints, and a page that is wider than the window."""
        found = [f"picture {source} did not load" for source, width in self.pictures if width == 0]
        found += [f"console: {line}" for line in self.console]
        return found + ([f"the page is {self.overflow} px too wide"] if self.overflow > 0 else [])


def find_browser() -> str:
    """The browser's executable; skips the test without one, or fails it where CI is set."""
    named = os.environ.get(VARIABLE)
    found = shutil.which(named or NAME)
    if found:
        return found
    why = f"expected a browser: {named} of {VARIABLE} is none" if named else "expected a browser, there is none"
    why += f"; install one (apt-get install {NAME}) or name one in {VARIABLE}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def open_page(html: Path, scratch: Path, screenshot: Path | None = None, size: tuple[int, int] = (1280, 1600)) -> Page:
    """Open a file in the browser.

    Args:
        html: the page; a copy with a probe lies beside it meanwhile, so that relative addresses hold.
        scratch: a folder for the browser's profile.
        screenshot: PNG of the window.
        size: of the window [px].
    """
    browser = find_browser()
    probe = html.with_name(f"probe-{html.name}")
    probe.write_text(html.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [browser, *FLAGS, f"--user-data-dir={scratch / 'browser'}", f"--window-size={size[0]},{size[1]}"]
    try:
        dumped = _run([*command, "--dump-dom", probe.as_uri()])
        if screenshot is not None:
            _run([*command, f"--screenshot={screenshot}", probe.as_uri()])
    finally:
        probe.unlink()
    result = re.search(rf'<script type="application/json" id="{MARK}">(.*?)</script>', dumped.stdout, re.DOTALL)
    assert result, f"the browser did not come to the end of {html}:\n{dumped.stderr}"
    found = json.loads(result.group(1))
    return Page(
        pictures=[tuple(entry) for entry in found["pictures"]],
        links=found["links"],
        text=found["text"],
        overflow=found["overflow"],
        console=[line for line in dumped.stderr.splitlines() if "CONSOLE" in line],
    )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done
