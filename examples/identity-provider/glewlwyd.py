"""glewlwyd (Debian), an OpenID provider in C: how it is started, and how a user signs in and out there.

Two properties of glewlwyd 2.7.5 decide its settings. Its access tokens carry no `sid`, so a logout token that names only
the session would find none of them: the client has `backchannel_logout_session_required` off, and the logout token then
names the user. It sends the logout token after its response to the browser, so a sign-in in the same second may be
refused once.
"""

import gzip
import os
import sqlite3
import subprocess
import urllib.parse
from pathlib import Path

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "target/glewlwyd"
LIBRARIES = ":".join(str(path) for path in HOME.glob("usr/lib/*-linux-*"))
PROGRAM = ["env", f"LD_LIBRARY_PATH={LIBRARIES}", str(HOME / "usr/bin/glewlwyd")]
CLIENT, SECRET, REDIRECT = "app", "the-secret-of-the-test-client", "http://127.0.0.1/callback"
USER, PASSWORD = "alice", "the password of alice"
TIMEOUT_SECONDS = 30


class Glewlwyd:
    """One glewlwyd with its own database, which signs with ES256."""

    name, algorithms = "glewlwyd", ["ES256"]
    says = """Access tokens and logout tokens are signed with ES256. The logout token names the user (`sub`), and comes after
the provider's response to the browser."""

    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"
        self.issuer, self.jwks, self.client = f"{self.base}/api/oidc", f"{self.base}/api/oidc/jwks", CLIENT
        self.port = port

    def version(self):
        return subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True).stdout.strip()

    def start(self, stack, folder, logout_url):
        """Starts it, and sets up the provider, the client and the user as an administrator does."""
        database = folder / "glewlwyd.db"
        with sqlite3.connect(database) as tables:
            tables.executescript(gzip.open(HOME / "usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz", "rt").read())
        (folder / "glewlwyd.conf").write_text(self.configuration(database, folder))
        stack.start(self.name, folder, *PROGRAM, "--config-file", str(folder / "glewlwyd.conf"))
        stack.eventually("glewlwyd is ready", self.responds)
        self.set_up(logout_url)

    def configuration(self, database, folder):
        modules = {"user_module": "user", "client_module": "client", "plugin_module": "plugin",
                   "user_auth_scheme_module": "scheme"}  # fmt: skip
        paths = {f"{name}_path": HOME / "usr/lib/glewlwyd" / part for name, part in modules.items()}
        paths |= {"static_files_path": f"{HOME}/usr/share/glewlwyd/webapp/", "user_middleware_module_path": folder}
        texts = {"bind_address": "127.0.0.1", "external_url": self.base, "login_url": "login.html", "api_prefix": "api",
                 "log_mode": "console", "log_level": "INFO", "cookie_domain": "127.0.0.1", "admin_scope": "g_admin",
                 "profile_scope": "g_profile", "hash_algorithm": "SHA512"}  # fmt: skip
        lines = [f'{name} = "{text}"' for name, text in (texts | paths).items()]
        lines += [f"port = {self.port}", "cookie_secure = 0", f'database = {{ type = "sqlite3" path = "{database}" }};']
        return "\n".join(lines) + "\n"

    def responds(self):
        try:
            return requests.get(self.base, timeout=TIMEOUT_SECONDS).status_code < 500
        except requests.exceptions.ConnectionError:
            return False

    def set_up(self, logout_url):
        admin = Session(self.base)
        admin.call("POST", "/api/auth/", {"username": "admin", "password": "password"})
        key = ec.generate_private_key(ec.SECP256R1())
        parameters = {
            "iss": self.issuer, "jwt-type": "ecdsa", "jwt-key-size": "256", "jwks-show": True, "subject-type": "public",
            "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "cert": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            "access-token-duration": 3600, "refresh-token-duration": 86400, "refresh-token-rolling": True,
            "allow-non-oidc": False, "auth-type-code-enabled": True, "auth-type-refresh-enabled": True,
            "session-management-allowed": True, "session-cookie-name": "OP", "session-cookie-expiration": 86400,
            "back-channel-logout-allowed": True, "scope": [], "additional-parameters": [], "claims": [],
        }  # fmt: skip
        plugin = {"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "parameters": parameters}
        admin.call("POST", "/api/mod/plugin/", plugin | {"order_rank": 0})
        client = {
            "client_id": CLIENT, "name": "the application", "scope": [], "enabled": True, "confidential": True,
            "password": SECRET, "redirect_uri": [REDIRECT], "authorization_type": ["code", "refresh_token"],
            "token_endpoint_auth_method": ["client_secret_post"], "backchannel_logout_uri": logout_url,
            "backchannel_logout_session_required": "false",
        }  # fmt: skip
        admin.call("POST", "/api/client/", client)
        user = {"username": USER, "name": USER, "password": PASSWORD, "enabled": True, "scope": ["openid", "g_profile"]}
        admin.call("POST", "/api/user/", user)

    def sign_in(self):
        return Browser(self)


class Session:
    """A browser's session with glewlwyd's interface."""

    def __init__(self, base):
        self.base, self.session = base, requests.Session()

    def call(self, method, path, body=None, expected=200, **options):
        options |= {"timeout": TIMEOUT_SECONDS, "allow_redirects": False}
        response = self.session.request(method, f"{self.base}{path}", json=body, **options)
        assert response.status_code == expected, f"{method} {path}: {response.status_code} {response.text}"
        return response


class Browser(Session):
    """A user of the provider: one session."""

    def __init__(self, provider):
        super().__init__(provider.base)
        self.call("POST", "/api/auth/", {"username": USER, "password": PASSWORD})
        self.call("PUT", f"/api/auth/grant/{CLIENT}", {"scope": "openid"})
        query = {
            "client_id": CLIENT, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid", "state": "s",
            "nonce": os.urandom(8).hex(), "g_continue": "",
        }  # fmt: skip
        location = self.call("GET", "/api/oidc/auth", expected=302, params=query).headers["location"]
        code = urllib.parse.parse_qs(urllib.parse.urlparse(location).query)["code"][0]
        self.tokens = self.token({"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT})

    def token(self, form):
        form |= {"client_id": CLIENT, "client_secret": SECRET}
        return self.call("POST", "/api/oidc/token", data=form).json()

    def two_tokens(self):
        """An access token of the sign-in and one of a refresh."""
        renewed = self.token({"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]})
        return [self.tokens["access_token"], renewed["access_token"]]

    def log_out(self):
        """Ends the session as the page of glewlwyd does."""
        hint = {"id_token_hint": self.tokens["id_token"]}
        page = self.call("GET", "/api/oidc/end_session", expected=302, params=hint).headers["location"]
        session = urllib.parse.parse_qs(urllib.parse.urlparse(page).query)["sid"][0]
        self.call("DELETE", f"/api/oidc/session/{session}/")

