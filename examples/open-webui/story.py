"""The scenario through Open WebUI's interface: requests of its page, and requests of a thief."""

import time

import httpx
import socketio

from steps import Steps, claims, seconds_until, told

EXPIRED = "Your session has expired or the token is invalid. Please sign in again."
PASSWORD, NEXT_PASSWORD = "correct horse battery", "staple battery horse"


class Device:
    """A signed-in browser, which sends the token as a bearer token and as a cookie, as the page does."""

    def __init__(self, edge: str, email: str, password: str, path="signin", **more):
        self.http = httpx.Client(base_url=f"http://{edge}", timeout=30)
        form = {"email": email, "password": password, **more}
        self.signed_in = self.http.post(f"/api/v1/auths/{path}", json=form)
        body = self.signed_in.json()
        self.token, self.id = body.get("token", ""), body.get("id", "")
        self.http.headers["authorization"] = f"Bearer {self.token}"

    def uses(self) -> str:
        return told(self.http.get("/api/v1/chats/"))

    def signs_out(self):
        """Signs out like `userSignOut` of the page: with the cookie, without Authorization."""
        request = self.http.build_request(
            "POST", "/api/v1/auths/signout", headers={"sec-fetch-site": "same-origin"}
        )
        del request.headers["authorization"]
        return self.http.send(request)

    def socket(self):
        client = socketio.Client(reconnection=False)
        client.connect(
            str(self.http.base_url), {"Cookie": f"token={self.token}"}, {"token": self.token},
            ["websocket"], socketio_path="/ws/socket.io", wait_timeout=10,
        )
        return client


class Story:
    def __init__(self, stack, steps: Steps):
        self.stack, self.steps, self.edge = stack, steps, stack.edge

    def tell(self):
        self.signs_up_and_out()
        self.socket_ends()
        self.password()
        self.administrator()
        self.api_key()

    def replays(self, token: str) -> dict[str, httpx.Response]:
        """Sends only the token, in each place where the back end accepts tokens."""
        url, cookies = f"http://{self.edge}/api/v1/chats/", {"token": token}
        headers = [
            ("Authorization: Bearer", {"authorization": f"Bearer {token}"}),
            ("Authorization: any other word", {"authorization": f"Token {token}"}),
            ("x-api-key", {"x-api-key": token}),
        ]
        answers = {name: httpx.get(url, headers=lines) for name, lines in headers}
        return answers | {"the cookie": httpx.get(url, cookies=cookies)}

    def signs_up_and_out(self):
        check, edge = self.steps.check, f"http://{self.edge}"
        self.steps.part("Sign-up, use, sign-out, replay")
        check("/api/config before anybody signed up", "200", told(httpx.get(f"{edge}/api/config")))
        check("/api/v1/chats/ without a token", "401 missing_token",
              told(httpx.get(f"{edge}/api/v1/chats/")))
        self.ada = laptop = Device(self.edge, "ada@example.com", PASSWORD, "signup", name="Ada",
                                   profile_image_url="/user.png")
        check("Ada signs up, the first user: administrator", "200", told(laptop.signed_in))
        names = {"id", "exp", "iat", "jti", "iss", "sub"} & claims(laptop.token).keys()
        check("what names her token has", "exp, iat, id, jti", ", ".join(sorted(names)))
        phone = Device(self.edge, "ada@example.com", PASSWORD)
        check("she signs in on a second device", "200", told(phone.signed_in))
        check("her chats, on both", "200, 200", f"{laptop.uses()}, {phone.uses()}")
        for place, answer in self.replays(laptop.token).items():
            check(f"her token alone, in {place}", "200", told(answer))
        forged = laptop.token[:-6] + "AAAAAA"
        check("her token, forged", "401 bad_signature",
              told(self.replays(forged)["Authorization: Bearer"]))

        answer = laptop.signs_out()
        check("she signs out as the page does: cookie only", "200 {'status': True}",
              f"{answer.status_code} {answer.json()}")
        for place, answer in self.replays(laptop.token).items():
            check(f"the same token, in {place}", "401 revoked", told(answer))
        check("its sentence is one that the page understands", EXPIRED, answer.json()["detail"])
        cleared = answer.headers.get("set-cookie", "").split("; ")[:2]
        check("its cookie is cleared", "token=; Max-Age=0", "; ".join(cleared))
        past = httpx.get(f"http://{self.stack.application}/api/v1/chats/",
                         headers={"authorization": f"Bearer {laptop.token}"})
        check("the same token at the application itself, past Envoy", "200", told(past))
        stale = {"token": laptop.token}
        for path in ["/api/config", "/auth", "/static/favicon.png"]:
            check(f"{path} with the revoked cookie", "200",
                  str(httpx.get(edge + path, cookies=stale).status_code))
        check("the second device", "200", phone.uses())
        self.ada = phone

    def socket_ends(self):
        self.steps.part("Open sockets")
        check = self.steps.check
        laptop = Device(self.edge, "ada@example.com", PASSWORD)
        here, there = laptop.socket(), self.ada.socket()
        joined = here.call("user-join", {"auth": {"token": laptop.token}}, timeout=10)
        check("a socket opens, and is hers", "Ada", (joined or {}).get("name", ""))
        check("one without a cookie does not", "401", self.handshake({}))
        check("nor with an API key, which Open WebUI does not look at there", "401",
              self.handshake({}, {"x-api-key": "sk-anything"}))
        laptop.signs_out()
        took = seconds_until(lambda: not here.connected, 5)
        print(f"  (ended {took} s after the answer to the sign-out)")
        check("it ends within a second of the sign-out", "yes",
              "yes" if took is not None and took <= 1 else f"{took} s")
        check("it does not open again with that token", "401",
              self.handshake({"token": laptop.token}))
        joined = there.call("user-join", {"auth": {"token": self.ada.token}}, timeout=10)
        check("the socket of the second device goes on", "Ada", (joined or {}).get("name", ""))
        there.disconnect()

    def handshake(self, cookies: dict, headers: dict | None = None) -> str:
        headers = (headers or {}) | {
            "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        url = f"http://{self.edge}/ws/socket.io/?EIO=4&transport=websocket"
        return str(httpx.get(url, headers=headers, cookies=cookies).status_code)

    def password(self):
        self.steps.part("Password change")
        check, tablet = self.steps.check, Device(self.edge, "ada@example.com", PASSWORD)
        form = {"password": PASSWORD, "new_password": NEXT_PASSWORD}
        wrong = form | {"password": "no"}
        answer = tablet.http.post("/api/v1/auths/update/password", json=wrong)
        check("with a wrong password, which fails", "400", str(answer.status_code))
        check("nobody is signed out by it", "200, 200", f"{tablet.uses()}, {self.ada.uses()}")
        answer = tablet.http.post("/api/v1/auths/update/password", json=form)
        answered_at = time.time()
        again = Device(self.edge, "ada@example.com", NEXT_PASSWORD)
        check("Ada changes her password", "200 True", f"{answer.status_code} {answer.json()}")
        check("her tokens from before, both devices", "401 revoked, 401 revoked",
              f"{tablet.uses()}, {self.ada.uses()}")
        check("a sign-in right after the answer", "200", again.uses())
        print(f"  (its iat is {claims(again.token)['iat'] - answered_at:+.3f} s from the answer)")
        self.ada = again

    def administrator(self):
        self.steps.part("What an administrator does")
        check, admin = self.steps.check, self.ada.http
        form = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD, "role": "user"}
        made = admin.post("/api/v1/auths/add", json=form)
        check("adds Bob", "200", str(made.status_code))
        bob = made.json()["id"]
        password = PASSWORD
        for name, path, body in [
            ("resets his password", "update", {"password": NEXT_PASSWORD}),
            ("ends his sessions", "sessions/revoke", None),
        ]:
            before = [Device(self.edge, "bob@example.com", password) for _ in range(2)]
            check("Bob is signed in on two devices", "200, 200",
                  ", ".join(device.uses() for device in before))
            answer = admin.post(f"/api/v1/users/{bob}/{path}", json=body)
            password = NEXT_PASSWORD
            after = Device(self.edge, "bob@example.com", password)
            check(name, "200", str(answer.status_code))
            check("his tokens from before", "401 revoked, 401 revoked",
                  ", ".join(device.uses() for device in before))
            check("his sign-in right after the answer", "200", after.uses())
        check("deletes him", "200", str(admin.delete(f"/api/v1/users/{bob}").status_code))
        check("his token", "401 revoked", after.uses())
        check("Ada's own session", "200", self.ada.uses())

    def api_key(self):
        self.steps.part("API keys")
        check, edge = self.steps.check, f"http://{self.edge}/api/v1/chats/"
        key = self.ada.http.post("/api/v1/auths/api_key").json().get("api_key", "")
        check("Ada makes one", "sk-", key[:3])
        bearer, other = {"authorization": f"Bearer {key}"}, {"x-api-key": key}
        check("in Authorization", "200", told(httpx.get(edge, headers=bearer)))
        check("in x-api-key", "200", told(httpx.get(edge, headers=other)))
        gone = Device(self.edge, "ada@example.com", NEXT_PASSWORD)
        gone.signs_out()
        stale = {"token": gone.token}
        check("beside a revoked cookie", "401 revoked",
              told(httpx.get(edge, headers=bearer, cookies=stale)))
        check("a key that nobody has: the application's own answer", f"401 {EXPIRED}",
              told(httpx.get(edge, headers={"authorization": "Bearer sk-" + "0" * 32})))
        self.revoked_api_key(key)

    def revoked_api_key(self, key: str):
        """Revokes a leaked key at the edge while an answer streams to the one who uses it."""
        check, edge = self.steps.check, f"http://{self.edge}"
        bearer, other = {"authorization": f"Bearer {key}"}, {"x-api-key": key}
        chat = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with httpx.stream("POST", f"{edge}/api/chat/completions", json=chat, headers=bearer,
                          timeout=30) as answer:
            check("an answer streams to the key", "200", str(answer.status_code))
            lines = answer.iter_lines()
            next(lines)
            self.stack.signout("revoke", "--credential", text=key)
            took = seconds_until_end(lines)
        print(f"  (ended {took:.2f} s after the revocation)")
        check("it ends within a second of the revocation", "yes",
              "yes" if took <= 1 else f"{took:.2f} s")
        for name, headers in [("Authorization", bearer), ("x-api-key", other)]:
            check(f"the revoked key in {name}", "401 revoked",
                  told(httpx.get(f"{edge}/api/v1/chats/", headers=headers)))
        check("the same key at the application itself, past Envoy", "200",
              told(httpx.get(f"http://{self.stack.application}/api/v1/chats/", headers=bearer)))
        check("Ada's own session", "200", self.ada.uses())


def seconds_until_end(lines) -> float:
    """Reads a stream until it ends, or is cut off. Returns how long that took."""
    start = time.monotonic()
    try:
        for _ in lines:
            pass
    except httpx.RemoteProtocolError:
        pass
    return time.monotonic() - start
