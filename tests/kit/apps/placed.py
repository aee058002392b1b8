"""An app that says where it thinks it is, as behind a front: with ProxyFix, an upload, an echo over
a WebSocket, and answers that lead elsewhere."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from flask_sock import Sock
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
sock = Sock(app)


@app.get("/")
def place() -> dict[str, Any]:
    before = request.environ["werkzeug.proxy_fix.orig"]
    return {
        "address": request.remote_addr,
        "url": request.url,
        "forwarded": request.headers.get("X-Forwarded-For"),
        "others": [name for name, _ in request.headers if name.startswith("Forwarded")],
        "before": before["REMOTE_ADDR"],
        "connection": request.headers.get("Connection"),
    }


@app.post("/upload")
def upload() -> str:
    return str(len(request.get_data()))


@app.route("/to", methods=["GET", "POST"])
def to() -> Response:
    answer = Response(status=302, headers={"Location": request.args["place"]})
    answer.autocorrect_location_header = False
    return answer


@app.get("/own-port")
def own_port() -> Response:
    """As an app that builds its URLs from what its own server listens at."""
    before = request.environ["werkzeug.proxy_fix.orig"]
    place = f"http://127.0.0.1:{before['SERVER_PORT']}/login"
    return Response(status=302, headers={"Location": place})


@app.get("/environ-port")
def environ_port() -> Response:
    """As one that builds its URLs from what ProxyFix has mended."""
    place = f"http://{request.environ['SERVER_NAME']}:{request.environ['SERVER_PORT']}/login"
    return Response(status=302, headers={"Location": place})


@app.get("/cookies")
def cookies() -> Response:
    answer = Response("page")
    for cookie in request.args.getlist("cookie"):
        answer.headers.add("Set-Cookie", cookie)
    return answer


@sock.route("/echo")  # type: ignore[untyped-decorator]
def echo(socket: Any) -> None:
    while True:
        socket.send(socket.receive())
