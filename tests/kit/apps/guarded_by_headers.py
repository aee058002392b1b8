"""An app that answers nobody without the run's headers, and counts who came without them."""

from __future__ import annotations

from flask import Flask, Response, abort, request

app = Flask(__name__)
strangers: list[str] = []


@app.before_request
def check() -> None:
    known = (
        request.host == "shop.example"
        and request.headers.get("X-Api-Key") == "s3cret"
        and request.cookies.get("user") == "ann"
        and request.authorization is not None
        and request.authorization.password == "s3cret"  # noqa: S105
    )
    if not known:
        strangers.append(request.path)
        abort(401)


@app.get("/")
def home() -> str:
    return "home"


@app.get("/strangers")
def who() -> Response:
    return Response("\n".join(strangers), mimetype="text/plain")
