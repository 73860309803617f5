"""A stand-in for a language model that sends one word each fifth of a second.

It implements the part of OpenAI's interface that Open WebUI uses. The tests check whether an answer keeps
arriving at a tab, for which they need no real model.
"""

import asyncio
import json
import sys

from aiohttp import web

NAME = "slow"
WORDS = 300


async def models(_):
    return web.json_response({"object": "list", "data": [{"id": NAME, "object": "model"}]})


async def completions(request):
    if not (await request.json()).get("stream"):
        message = {"role": "assistant", "content": "A chat"}
        return web.json_response({"choices": [{"index": 0, "message": message}]})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for number in range(1, WORDS + 1):
        delta = {"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}
        await response.write(b"data: " + json.dumps({"choices": [delta]}).encode() + b"\n\n")
        await asyncio.sleep(0.2)
    await response.write(b"data: [DONE]\n\n")
    return response


application = web.Application()
application.add_routes(
    [web.get("/v1/models", models), web.post("/v1/chat/completions", completions)]
)
host, port = sys.argv[1].split(":")
web.run_app(application, host=host, port=int(port), print=None)
