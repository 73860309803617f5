"""idpyoidc (PyPI), an OpenID provider in Python: how it is started, and how a user signs in and out there."""

import secrets
import sys
import urllib.parse
from importlib.metadata import version
from pathlib import Path

import requests

from provider import CLIENT, REDIRECT, SECRET

TIMEOUT_SECONDS = 30


class Idpyoidc:
    """One idpyoidc, behind the HTTP server of provider.py."""

    name, algorithms = "idpyoidc", ["RS256", "ES256"]
    says = """Access tokens are signed with ES256, logout tokens with RS256. The logout token names the session (`sid`), and
comes before the provider's response to the browser."""

    def __init__(self, port):
        self.port, self.client = port, CLIENT
        self.issuer = f"http://127.0.0.1:{port}"
        self.jwks = f"{self.issuer}/jwks.json"

    def version(self):
        return version("idpyoidc")

    def start(self, stack, folder, logout_url):
        program = Path(__file__).with_name("provider.py")
        log = stack.start(self.name, folder, sys.executable, str(program), str(self.port), logout_url)
        stack.eventually("the provider is ready", lambda: "ready" in log())

    def sign_in(self):
        return Browser(self.issuer)


class Browser:
    """A user of the provider: one session."""

    def __init__(self, issuer):
        self.issuer = issuer
        query = {
            "client_id": CLIENT,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid offline_access",
            "state": "s",
            "nonce": secrets.token_hex(8),
            "prompt": "consent",
        }
        response = requests.get(f"{issuer}/authorization", params=query, allow_redirects=False, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 302, response.text
        self.cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in response.cookies)
        code = urllib.parse.parse_qs(urllib.parse.urlparse(response.headers["location"]).query)["code"][0]
        self.tokens = self.post({"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT})

    def post(self, form):
        form |= {"client_id": CLIENT, "client_secret": SECRET}
        response = requests.post(f"{self.issuer}/token", data=form, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 200, response.text
        return response.json()

    def two_tokens(self):
        """An access token of the sign-in and one of a refresh."""
        renewed = self.post({"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]})
        return [self.tokens["access_token"], renewed["access_token"]]

    def log_out(self):
        response = requests.get(f"{self.issuer}/session", headers={"cookie": self.cookies}, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 200, response.text
