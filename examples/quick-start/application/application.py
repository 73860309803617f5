"""An application as tutorials write it: it knows nothing about session-guard, and revokes nothing."""

import os
import time
import uuid

import jwt
from fastapi import FastAPI, Form, Header, Response

app = FastAPI()


@app.get("/")
def home():
    return "Sign in with POST /login, then GET /page."


@app.post("/login")
def login(response: Response, name: str = Form()):
    now = int(time.time())
    claims = {"sub": name, "jti": str(uuid.uuid4()), "iat": now, "exp": now + 3600}
    token = jwt.encode(claims, os.environ["SESSION_SECRET"], "HS256")
    response.set_cookie("token", token, httponly=True, samesite="lax")
    return {"signed_in": name}


@app.post("/logout")
def logout(response: Response):
    response.delete_cookie("token")
    return {"signed_out": True}


@app.get("/page")
def page(x_user_id: str = Header()):  # from session-guard, which removes a client's own
    return {"user": x_user_id}
