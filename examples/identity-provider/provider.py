"""An OpenID provider for tests: idpyoidc (PyPI) behind the HTTP server of Python's library.

usage: provider.py PORT BACKCHANNEL_LOGOUT_URL

Everybody who signs in is alice. The client is `app` with the secret below. EndSession works around a defect of
idpyoidc 5.0.0.
"""

import json
import logging
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptojwt.jwt import JWT
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.oidc.session import Session

CLIENT, SECRET, REDIRECT = "app", "the-secret-of-the-test-client", "http://127.0.0.1/callback"
API = "https://api.example.com"
KEYS = {"key_defs": [{"type": "OCT", "use": ["enc"], "kid": "password"}, {"type": "OCT", "use": ["enc"], "kid": "salt"}]}
SIGNING = [{"type": "RSA", "use": ["sig"]}, {"type": "EC", "crv": "P-256", "use": ["sig"]}]
CRYPT = {"kwargs": {"keys": KEYS, "iterations": 1}}


class EndSession(Session):
    """The end-session endpoint. idpyoidc 5.0.0 fails here, because its own authentication of the client returns no
    token. A browser ends the session, so there is no client to authenticate."""

    def client_authentication(self, *_, **__):
        return None


def configuration(issuer):
    minting = ["access_token", "refresh_token", "id_token"]
    token = "idpyoidc.server.token.jwt_token.JWTToken"
    return {
        "issuer": issuer,
        "httpc_params": {"timeout": 10},
        "subject_types_supported": ["public"],
        "keys": {"uri_path": "jwks.json", "key_defs": SIGNING},
        "token_handler_args": {
            "code": {"lifetime": 600, "kwargs": {"crypt_conf": CRYPT}},
            "token": {"class": token, "kwargs": {"lifetime": 3600, "aud": [API]}},
            "refresh": {"class": token, "kwargs": {"lifetime": 36000, "aud": [issuer]}},
            "id_token": {"class": "idpyoidc.server.token.id_token.IDToken", "kwargs": {}},
        },
        "endpoint": {
            "authorization": {
                "path": "authorization",
                "class": "idpyoidc.server.oidc.authorization.Authorization",
                "kwargs": {},
            },
            "token": {
                "path": "token",
                "class": "idpyoidc.server.oidc.token.Token",
                "kwargs": {"client_authn_method": ["client_secret_post"]},
            },
            "session": {
                "path": "session",
                "class": EndSession,
                "kwargs": {
                    "post_logout_uri_path": "signed-out",
                    "signing_alg": "RS256",
                    "logout_verify_url": f"{issuer}/verify-logout",
                },
            },
        },
        "authentication": {
            "anybody": {
                "acr": "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
                "class": "idpyoidc.server.user_authn.user.NoAuthn",
                "kwargs": {"user": "alice"},
            }
        },
        "userinfo": {"class": "idpyoidc.server.user_info.UserInfo", "kwargs": {"db": {"alice": {"name": "Alice"}}}},
        "cookie_handler": {
            "class": "idpyoidc.server.cookie_handler.CookieHandler",
            "kwargs": {
                "keys": {"key_defs": [{"type": "OCT", "kid": "sig", "use": ["sig"]}, {"type": "OCT", "kid": "enc", "use": ["enc"]}]},
                "name": {"session": "op", "register": "op_rp", "session_management": "op_sman"},
            },
        },
        "session_params": {"encrypter": CRYPT},
        "authz": {
            "class": "idpyoidc.server.authz.AuthzHandling",
            "kwargs": {
                "grant_config": {
                    "usage_rules": {
                        "authorization_code": {"supports_minting": minting, "max_usage": 1},
                        "access_token": {},
                        "refresh_token": {"supports_minting": minting},
                    },
                    "expires_in": 43200,
                }
            },
        },
    }


class Provider:
    """The endpoints of one provider."""

    def __init__(self, port, logout_url):
        self.issuer = f"http://127.0.0.1:{port}"
        self.server = Server(OPConfiguration(configuration(self.issuer), base_path="."), cwd=".")
        self.server.context.cdb[CLIENT] = {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "redirect_uris": [(REDIRECT, {})],
            "response_types_supported": ["code"],
            "token_endpoint_auth_method": "client_secret_post",
            "allowed_scopes": ["openid", "offline_access"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "backchannel_logout_uri": logout_url,
        }
        self.server.keyjar.add_symmetric(CLIENT, SECRET)

    def call(self, name, parameters, cookies):
        endpoint = self.server.get_endpoint(name)
        http = {"headers": {}, "cookie": cookies}
        request = endpoint.parse_request(parameters, http_info=http)
        if "error" in request:
            return dict(request)
        return endpoint.process_request(request, http_info=http)

    def jwks(self):
        return self.server.keyjar.export_jwks()

    def authorization(self, parameters, cookies):
        """Signs alice in, and returns the code and the cookies of the session."""
        done = self.call("authorization", parameters, cookies)
        return done["response_args"]["code"], done["cookie"]

    def token(self, parameters):
        return dict(self.call("token", parameters, [])["response_args"])

    def end_session(self, cookies):
        """Asks for the end of the session, and confirms it, as the user does in a browser."""
        done = self.call("session", {}, cookies)
        query = urllib.parse.urlparse(done["redirect_location"]).query
        (signed,) = urllib.parse.parse_qs(query)["sjwt"]
        verifier = JWT(self.server.keyjar, iss=self.issuer)
        session = verifier.unpack(signed)["sid"]
        self.server.get_endpoint("session").do_verified_logout(session)


class Handler(BaseHTTPRequestHandler):
    """HTTP in front of a provider."""

    provider = None

    def log_message(self, *_):
        pass

    def cookies(self):
        pairs = [pair.split("=", 1) for pair in self.headers.get("cookie", "").split("; ") if "=" in pair]
        return [{"name": name, "value": urllib.parse.unquote(value)} for name, value in pairs]

    def respond(self, status, body=None, headers=()):
        text = json.dumps(body or {}).encode()
        self.send_response(status)
        for name, value in [("content-type", "application/json"), ("content-length", len(text)), *headers]:
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        parameters = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/jwks.json":
            self.respond(200, self.provider.jwks())
        elif url.path == "/authorization":
            code, cookies = self.provider.authorization(parameters, self.cookies())
            set_cookies = [("set-cookie", f"{it['name']}={urllib.parse.quote(it['value'])}") for it in cookies]
            location = f"{REDIRECT}?{urllib.parse.urlencode({'code': code})}"
            self.respond(302, {}, [("location", location), *set_cookies])
        elif url.path == "/session":
            self.provider.end_session(self.cookies())
            self.respond(200)
        else:
            self.respond(404)

    def do_POST(self):
        form = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/token":
            self.respond(200, self.provider.token(dict(urllib.parse.parse_qsl(form))))
        else:
            self.respond(404)


def main():
    logging.basicConfig(level=logging.WARNING)
    port, logout_url = int(sys.argv[1]), sys.argv[2]
    Handler.provider = Provider(port, logout_url)
    print("ready", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
