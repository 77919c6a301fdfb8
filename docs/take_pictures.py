"""Take the README's pictures: python docs/take_pictures.py URL USER PASSWORD [FOLDER [NAME=PATH …]].

A fresh demonstration must run at URL (make demo). It has no node, so nodes and backfills are empty in it. The page
of the approval needs `adam`, all others `olivia`; only pictures that the README names are kept.

Needs Chromium (Debian: apt install chromium); its place may be named by CHROMIUM.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
FLAGS = [
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--no-first-run", "--disable-gpu"),
]
PAGES = {
    "overview": "/admin/",
    "block": "/admin/ledger/attribution/block/157/",
    "yield": "/admin/chain/yield/129/change/",
    "remarks": "/admin/chain/remark/",
    "partner": "/admin/partners/partner/1/change/",
    "statement": "/admin/ledger/period/2025-08-11/statement/creative-builds/",
    "approve": "/admin/payments/batch/2/approve/",
}


# Pages whose point stands further down, or which are short.
HEIGHTS = {"yield": 1560, "remarks": 420}


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    """Sign in to the admin."""
    page.goto(f"{url}/admin/login/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state("networkidle")


def main() -> None:
    """Visit each page in light and dark, wide and narrow."""
    url, user, password = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]
    folder = Path(sys.argv[4] if len(sys.argv) > 4 else "docs/pictures")
    folder.mkdir(parents=True, exist_ok=True)
    pages = dict(pair.split("=", 1) for pair in sys.argv[5:]) or PAGES
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
        )
        for theme in ("light", "dark"):
            for width, size in (("wide", WIDE), ("narrow", NARROW)):
                context = browser.new_context(viewport=size, color_scheme=theme, device_scale_factor=1)  # type: ignore[arg-type]
                page = context.new_page()
                sign_in(page, url, user, password)
                for name, path in pages.items():
                    page.set_viewport_size(
                        {"width": size["width"], "height": HEIGHTS.get(name, size["height"])}
                    )
                    page.goto(url + path)
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=False)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
