"""How do applications check sign-out today? FastAPI, PyJWT, and a set in the process.

application.py bare|guarded REVOKED listens on a free port and says where. `bare` answers at once;
`guarded` first checks signature, algorithm, times, issuer and audience of the bearer token, and
looks its `jti` up in a set of so many revoked ones. SESSION_SECRET has the secret.
"""

import os
import socket
import sys

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request

ISSUER = "https://id.example.com/"
AUDIENCE = "https://app.example.com"

variant, revoked_count = sys.argv[1], int(sys.argv[2])
secret = os.environ["SESSION_SECRET"]
revoked = {f"revoked-{number}" for number in range(revoked_count)}


async def user(request: Request) -> str:
    """The user of a valid token that is not revoked; 401 without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401, "missing token")
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "invalid token") from error
    if claims["jti"] in revoked:
        raise HTTPException(401, "revoked")
    return claims["sub"]


async def nobody() -> str:
    """No check."""
    return "nobody"


application = FastAPI()


@application.get("/api/v1/page")
async def page(name: str = Depends(user if variant == "guarded" else nobody)) -> dict[str, str]:
    """A small answer."""
    return {"user": name}


listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
server = uvicorn.Server(uvicorn.Config(application, access_log=False, log_level="warning"))
server.run(sockets=[listener])
