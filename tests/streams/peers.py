"""Third-party clients and servers for tests/streams/peers.rs. `serve` runs the application.
`call EDGE GRPC_EDGE TOKEN` opens one request of each kind and prints one line per event."""

import asyncio
import sys

import aiohttp
import grpc
import socketio
from aiohttp import web
from yarl import URL

EVENTS, CHAT, WAIT = "/peers.Streams/Events", "/peers.Streams/Chat", "/peers.Streams/Wait"


def say(who: str, what):
    print(f"{who}: {what}", flush=True)


async def serve():
    sockets = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
    application = web.Application()
    sockets.attach(application)
    application.add_routes([
        web.get("/websocket", websocket), web.get("/events", events), web.get("/poll", poll),
        web.post("/sign-out", signed_out),
    ])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("peers.Streams", {
        "Events": grpc.unary_stream_rpc_method_handler(ticks),
        "Chat": grpc.stream_stream_rpc_method_handler(echo),
        "Wait": grpc.unary_unary_rpc_method_handler(wait),
    })])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say("http", "127.0.0.1:%d" % runner.addresses[0][1])
    say("grpc", f"127.0.0.1:{port}")
    await server.wait_for_termination()


async def websocket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def events(request):
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    while True:
        await answer.write(b"data: tick\n\n")
        await asyncio.sleep(0.1)


async def poll(_):
    await asyncio.sleep(600)


async def signed_out(_):
    return web.json_response({"signed_out": True})


async def ticks(_request, _context):
    while True:
        yield b"tick"
        await asyncio.sleep(0.1)


async def echo(requests, _context):
    async for request in requests:
        yield request


async def wait(_request, _context):
    await asyncio.sleep(600)


async def call(edge: str, grpc_edge: str, token: str):
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://{edge}", headers=headers) as http:
        channel = grpc.aio.insecure_channel(grpc_edge)
        metadata = [("authorization", f"Bearer {token}")]
        await asyncio.gather(
            opens_a_websocket(http), hears_events(http), polls(http),
            uses_socket_io(edge, token, "websocket"), uses_socket_io(edge, token, "polling"),
            says_status("grpc events", hears(channel.unary_stream(EVENTS)(b"", metadata=metadata))),
            says_status("grpc chat", chats(channel.stream_stream(CHAT)(metadata=metadata))),
            says_status("grpc wait", waits(channel.unary_unary(WAIT)(b"", metadata=metadata))),
        )
        again = channel.unary_unary(WAIT)(b"", metadata=metadata)
        await says_status("grpc again", waits(again))
    say("all", "over")


async def opens_a_websocket(http):
    async with http.ws_connect("/websocket") as socket:
        await socket.send_str("word")
        say("websocket", await socket.receive_str())
        while (await socket.receive()).type == aiohttp.WSMsgType.TEXT:
            pass
        say("websocket", f"closed {socket.close_code}")
    try:
        await http.ws_connect("/websocket")
    except aiohttp.WSServerHandshakeError as error:
        say("websocket again", error.status)


async def hears_events(http):
    try:
        async with http.get("/events") as answer:
            say("events", (await answer.content.readline()).decode().strip())
            async for _ in answer.content:
                pass
            say("events", "whole")
    except aiohttp.ClientPayloadError:
        say("events", "cut")


async def polls(http):
    say("poll", "sent")
    async with http.get("/poll") as answer:
        say("poll", f"{answer.status} {(await answer.json())['code']}")


async def uses_socket_io(edge, token, transport):
    name, refused = f"socket.io {transport}", asyncio.Event()
    # The token is a cookie, as in a browser: Socket.IO sends extra headers only with its first request.
    jar = aiohttp.CookieJar(unsafe=True)  # accepts cookies for IP addresses
    jar.update_cookies({"token": token}, URL(f"http://{edge}"))
    session = aiohttp.ClientSession(cookie_jar=jar)
    client = socketio.AsyncClient(
        reconnection_delay=0.1, reconnection_delay_max=0.5, http_session=session)
    client.on("disconnect", lambda *_: say(name, "disconnected"))

    def fails(*_):
        if not refused.is_set():
            say(name, "refused")
        refused.set()

    client.on("connect_error", fails)
    await client.connect(f"http://{edge}", transports=[transport], wait_timeout=30)
    say(name, "connected")
    await refused.wait()
    await client.shutdown()
    await session.close()


async def says_status(name, conversation):
    try:
        async for word in conversation:
            say(name, word)
        say(name, "whole")
    except grpc.aio.AioRpcError as error:
        say(name, error.code().name)


async def hears(answers):
    is_first = True
    async for answer in answers:
        if is_first:
            yield answer.decode()
        is_first = False


async def chats(conversation):
    await conversation.write(b"word")
    yield (await conversation.read()).decode()
    await conversation.read()  # both sides stay open


async def waits(answer):
    yield "sent"
    await answer


asyncio.run({"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:]))
