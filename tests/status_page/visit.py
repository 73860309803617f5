"""Uses the status page of the service in chromium, without JavaScript: visit.py URL PICTURES API-TOKEN

Shows the state, looks up a user, and checks at several widths that no text leaves its box. Saves screenshots in
the directory PICTURES. Prints `as expected` at the end, or fails.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect, sync_playwright

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples/demo"))
from browser import CHROMIUM, fits  # noqa: E402


def main():
    url, pictures, token = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    with sync_playwright() as driver:
        # The sandbox needs privileges that a container does not give to root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        for scheme in ["light", "dark"]:
            page = chromium.new_context(color_scheme=scheme, java_script_enabled=False).new_page()
            page.set_default_timeout(30_000)
            hosts, messages = set(), []
            page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page.on("console", lambda message: messages.append(message.text))
            page.goto(url)
            expect(page.locator("header")).to_contain_text("ready")
            fits(page, pictures / f"{scheme}-health")
            submit(page, "wrong", "")
            expect(page.get_by_role("alert")).to_have_text("This is not a valid API token.")
            messages.clear()  # the browser reports the status 401
            submit(page, token, "alice", "shop")
            expect(page.get_by_text("Revoked.", exact=True)).to_be_visible()
            expect(page.get_by_text("left the company").first).to_be_visible()
            expect(page.get_by_text("up to date").first).to_be_visible()
            assert page.locator("[name=api_token]").input_value() == ""
            fits(page, pictures / f"{scheme}-all")
            submit(page, token, "bob")
            expect(page.get_by_text("Not revoked.")).to_be_visible()
            assert hosts == {urlsplit(url).netloc}, hosts
            assert not messages, messages
        chromium.close()
    print("as expected")


def submit(page: Page, token: str, user: str, realm: str = ""):
    page.get_by_label("API token").fill(token)
    page.get_by_label("Value").fill(user)
    page.get_by_label("Realm").fill(realm)
    page.get_by_role("button", name="Show").click()


if __name__ == "__main__":
    main()
