"""Clicks through the demo's page in chromium: browser.py URL PICTURES

Signs out, and changes the password, and checks that both panels end. Checks at several widths that no text
leaves its box. Saves screenshots in the directory PICTURES. Prints `as expected` at the end, or fails.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = Path(__file__).resolve().parents[2] / "target/chromium"
WIDTHS = [360, 480, 768, 1024, 1600]
PANELS = ["#ada", "#eve"]
OVERFLOWING = """() => [...document.body.querySelectorAll("*")]
    .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
    .map((element) => `${element.tagName} ${element.textContent.trim().slice(0, 40)}`)
    .concat(document.documentElement.scrollWidth > innerWidth ? ["the page"] : [])"""


def main():
    url, pictures = sys.argv[1], Path(sys.argv[2])
    with sync_playwright() as driver:
        # The sandbox needs privileges that a container does not give to root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        for scheme in ["light", "dark"]:
            page = chromium.new_context(color_scheme=scheme).new_page()
            page.set_default_timeout(30_000)
            hosts, errors = set(), []
            page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(url)
            for button in ["#sign-out", "#password"]:
                shows(page, "live", pictures / f"{scheme}-signed-in")
                page.click(button)
                shows(page, "ended", pictures / f"{scheme}-{button[1:]}")
                expect(page.locator("#outcome")).to_contain_text("ms after the click", timeout=30_000)
                expect(page.locator("#eve .whoami")).to_have_text("401 revoked")
                page.click("#again")
            assert hosts - {""} == {urlsplit(url).netloc}, hosts
            assert not errors, errors
        chromium.close()
    print("as expected")


def shows(page: Page, state: str, picture: Path):
    """Waits until both panels have the state, and checks every width."""
    for panel in PANELS:
        expect(page.locator(panel)).to_have_attribute("data-state", state, timeout=30_000)
        for field in page.locator(f"{panel} dd").all():
            expect(field).to_have_class(f"{field.get_attribute('class').split()[0]} {state}")
    fits(page, picture)


def fits(page: Page, picture: Path):
    """Checks at every width that no text leaves its box, and saves a screenshot."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERFLOWING) == [], (width, page.evaluate(OVERFLOWING))
        page.screenshot(path=f"{picture}-{width}.png", full_page=True)


if __name__ == "__main__":
    main()
