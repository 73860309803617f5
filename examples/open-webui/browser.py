"""Runs the page in Debian's chromium, in the browsers of a user and of a thief."""

import os
import re
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from steps import Steps, seconds_until
from story import EXPIRED, NEXT_PASSWORD

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SIGN_IN = re.compile(r"/auth(\?|$)")
FIELD = "#chat-input"


class Browser:
    def __init__(self, stack, steps: Steps, record: Path):
        self.url, self.steps, self.record = f"http://{stack.edge}", steps, record

    def tell(self):
        with sync_playwright() as driver:
            # The sandbox needs privileges that a container does not give to root.
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            self.chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
            self.signs_in()
            self.stolen_token = self.page.evaluate("localStorage.token")
            self.thief = self.stolen(self.stolen_token)
            self.uses_a_stolen_token()
            self.signs_out_in_another_tab()
            self.thief_is_out()
            self.signs_in_again()
            self.chromium.close()

    def context(self):
        context = self.chromium.new_context(viewport={"width": 960, "height": 600})
        context.set_default_timeout(30_000)
        return context

    def stolen(self, token: str) -> Page:
        """Opens another browser that has the stolen token, as a cookie and in the page's storage."""
        thief = self.context()
        thief.add_cookies([{"name": "token", "value": token, "url": self.url}])
        page = thief.new_page()
        page.goto(f"{self.url}/static/favicon.png")
        page.evaluate("token => localStorage.setItem('token', token)", token)
        page.goto(self.url)
        return page

    def fills_in_and_sends(self, page: Page):
        page.fill("#email", "ada@example.com")
        page.fill("#password", NEXT_PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_selector(FIELD)
        close = page.get_by_role("button", name="Okay, Let's Go!")  # the release notes
        if close.count():
            close.click()

    def asks(self, page: Page, text: str, after: str | None = None):
        page.click(FIELD)
        if after:  # Escape stops a running answer; otherwise the page waits for its end
            page.keyboard.press(after)
        page.keyboard.type(text)
        page.keyboard.press("Enter")

    def where(self, page: Page) -> str:
        return "the sign-in page" if SIGN_IN.search(page.url) else "the chats"

    def lands_on_sign_in(self, page: Page) -> str:
        seconds_until(lambda: page.wait_for_timeout(50) or SIGN_IN.search(page.url), 20)
        if SIGN_IN.search(page.url):
            page.wait_for_selector("#email")
        return self.where(page)

    def picture(self, page: Page, name: str, text: str):
        page.screenshot(path=self.record / f"{name}.png")
        self.steps.pictures.append((f"{name}.png", text))

    def signs_in(self):
        self.steps.part("In a browser")
        check = self.steps.check
        self.owner = self.context()
        self.page = self.owner.new_page()
        self.socket = Socket(self.page)
        self.page.goto(self.url)
        check("the page, signed out", "the sign-in page", self.lands_on_sign_in(self.page))
        self.fills_in_and_sends(self.page)
        check("after the form was sent", "the chats", self.where(self.page))
        took = seconds_until(lambda: self.page.wait_for_timeout(50) or self.socket.open, 20)
        print(f"  (its socket was open {took} s later)")
        check("its socket opens", "yes", "yes" if took is not None else "no")
        self.asks(self.page, "Tell me something long.")
        seconds_until(lambda: self.page.wait_for_timeout(50) or last_word(self.page) >= 10, 20)
        check("a question is answered, word by word", "yes",
              "yes" if 10 <= last_word(self.page) < 50 else f"word{last_word(self.page)}")
        self.picture(self.page, "1-chat", "Ada is signed in, and the model is answering.")

    def uses_a_stolen_token(self):
        self.thief.wait_for_selector(FIELD)
        self.steps.check("a second browser with her token, before she signs out", "the chats",
                         self.where(self.thief))
        self.asks(self.thief, "What did she ask?")
        self.thief.wait_for_selector("text=word5 ")

    def signs_out_in_another_tab(self):
        check, other = self.steps.check, self.owner.new_page()
        other.goto(self.url)
        other.wait_for_selector(FIELD)
        other.get_by_role("button", name="User menu").last.click()
        other.get_by_role("menuitem", name="Sign Out").click()
        check("she signs out in another tab", "the sign-in page", self.lands_on_sign_in(other))
        self.picture(other, "2-signed-out", "She has signed out by the menu of another tab.")
        took = seconds_until(lambda: self.page.wait_for_timeout(50) or not self.socket.open, 5)
        check("the socket of the chat's tab ends within a second", "yes",
              "yes" if took is not None and took <= 1 else f"no: {took} s")
        self.stops("the answer there", self.page)
        self.stops("the answer in the second browser", self.thief)
        self.asks(self.page, "Go on.", after="Escape")
        # The other tab has deleted the token that all tabs share. Without a token, the page shows the
        # refusal's sentence and does not go to the sign-in page.
        said = self.page.get_by_text(re.compile("Not authenticated|sign in again")).first
        check("her next question there", EXPIRED, said.inner_text())
        self.picture(self.page, "3-open-tab", "Her open chat has stopped; it takes no question.")
        self.page.reload()
        check("the same tab, reloaded", "the sign-in page", self.lands_on_sign_in(self.page))

    def stops(self, what: str, page: Page):
        """Checks that no more words arrive, although the model sends five a second."""
        said = last_word(page)
        page.wait_for_timeout(3_000)
        self.steps.check(what, f"stops at word{said}", f"stops at word{last_word(page)}")

    def thief_is_out(self):
        check = self.steps.check
        self.asks(self.thief, "And I?", after="Escape")
        check("the second browser, at its next question", "the sign-in page",
              self.lands_on_sign_in(self.thief))
        said = self.thief.get_by_text(re.compile("sign in again")).first
        check("what it is told", EXPIRED, said.inner_text())
        self.picture(self.thief, "4-second-browser",
                     "The open chat in the browser that used her token has stopped too, and it is "
                     "asked to sign in again.")

    def signs_in_again(self):
        check = self.steps.check
        late = self.stolen(self.stolen_token)
        check("a third browser with the stolen token", "the sign-in page",
              self.lands_on_sign_in(late))
        self.picture(late, "5-stolen-token", "Whoever comes with her token lands here.")
        self.page.goto(self.url)
        self.lands_on_sign_in(self.page)
        self.fills_in_and_sends(self.page)
        check("she signs in again", "the chats", self.where(self.page))


def last_word(page: Page) -> int:
    return max(map(int, re.findall(r"word(\d+)", page.inner_text("body"))), default=0)


class Socket:
    """Observes whether a page's socket transfers frames."""

    def __init__(self, page: Page):
        self.open = False
        page.on("websocket", self._watch)

    def _watch(self, socket):
        def said(_):
            self.open = True

        def closed(_):
            self.open = False

        socket.on("framereceived", said)
        socket.on("close", closed)
