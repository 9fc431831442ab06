"""Check a built site: python tools/check_site.py docs/_build/html

Every link and picture of every page leads to something that is there, its anchor included, and every public name has a
page with an example. With `--browser chromium` each page is also opened, in a wide window and in a phone's: nothing may
stick out of it. `--pictures FOLDER` keeps a picture of each.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fastmlp

WIDTHS = {"wide": 1400, "phone": 390}
STARTED_AS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
              "--disable-component-update", "--disable-sync", "--hide-scrollbars")  # fmt: skip
# Put at the end of a copy of the page: what sticks out of it goes into the title, which --dump-dom shows
PROBE = """<script>window.addEventListener("load", () => setTimeout(() => {
  const limit = document.documentElement.clientWidth + 1;
  const scrolls = e => { for (; e; e = e.parentElement) { const s = getComputedStyle(e);
    if (["auto", "scroll", "hidden"].includes(s.overflowX) || s.position === "fixed") return true; } return false; };
  const out = [...document.querySelectorAll("body *")].filter(e => { const r = e.getBoundingClientRect();
    return r.width && r.height && r.right > limit && !scrolls(e); })
    .slice(0, 3).map(e => e.tagName + "." + e.className + " " + Math.round(e.getBoundingClientRect().right));
  document.title = "PROBE " + JSON.stringify({width: document.documentElement.scrollWidth, limit: limit, out: out});
}, 300));</script>"""


class Page(HTMLParser):
    """Links and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if (target := found.get("href") or found.get("src")) and tag != "base":
            self.links.append(target)


def pages_of(site):
    """The pages that Sphinx has written; asv's own are drawn by scripts."""
    return [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] not in ("asv", "_static")]


def dead_links(site):
    """Links that lead nowhere within the site, as texts."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in pages_of(site)}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                dead.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                dead.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    return dead


def names_without_a_page(site):
    """Public names that have no page, or none with an example."""
    missing = []
    for name in fastmlp.__all__:
        path = site / "reference" / "generated" / f"fastmlp.{name}.html"
        if name == "BITS_VERSION":
            path = site / "reference" / "bits-version.html"
        if not path.exists() or "&gt;&gt;&gt;" not in path.read_text(encoding="utf-8"):
            missing.append(name)
    return missing


def look(browser, site, pictures):
    """Open every page at each width; what sticks out, as texts."""
    wrong = []
    with tempfile.TemporaryDirectory() as profile:
        for path in pages_of(site):
            copy = path.with_name(f"probe-{path.name}")
            copy.write_text(path.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
            try:
                for kind, width in WIDTHS.items():
                    options = (browser, *STARTED_AS, f"--user-data-dir={profile}", f"--window-size={width},1000")
                    done = subprocess.run(
                        [*options, "--virtual-time-budget=4000", "--dump-dom", copy.as_uri()],
                        capture_output=True, text=True, timeout=60, check=False,
                    )  # fmt: skip
                    found = re.search(r"PROBE (\{.*?\})</title>", done.stdout)
                    name = f"{path.relative_to(site)} ({kind})"
                    if not found:
                        wrong.append(f"{name}: not drawn")
                    elif '"out":[]' not in found[1]:
                        wrong.append(f"{name}: {found[1]}")
                    if pictures:
                        file = Path(pictures, f"{kind}-{str(path.relative_to(site)).replace('/', '-')}.png")
                        tall = (*options[:-1], f"--window-size={width},{2600 if kind == 'wide' else 3200}")
                        subprocess.run(
                            [*tall, "--virtual-time-budget=4000", f"--screenshot={file}", path.as_uri()],
                            capture_output=True, timeout=60, check=False,
                        )  # fmt: skip
            finally:
                copy.unlink()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--browser", help="a Chromium, to open every page with")
    parser.add_argument("--pictures", help="a folder for a picture of each page, with --browser")
    options = parser.parse_args()
    site = options.site.resolve()
    wrong = [f"dead link: {link}" for link in dead_links(site)]
    wrong += [f"no page with an example: {name}" for name in names_without_a_page(site)]
    if options.browser:
        if options.pictures:
            Path(options.pictures).mkdir(parents=True, exist_ok=True)
        wrong += look(options.browser, site, options.pictures)
    print("\n".join(wrong) or f"{len(pages_of(site))} pages: no dead link, every public name has an example")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
