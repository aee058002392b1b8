"""A board with a login and a slow report, to be used by a browser."""

from __future__ import annotations

import os
import time

from flask import Flask, redirect, render_template_string, request, session
from werkzeug.wrappers import Response

PAGE = """
<!doctype html>
<title>The board</title>
{% if name %}
<h1>Hello {{ name }}</h1>
<button id="report">Report</button> <output id="reported"></output>
<button id="news">News</button> <output id="told"></output>
<script>
  for (const [button, output] of [["report", "reported"], ["news", "told"]])
    document.getElementById(button).onclick = async () => {
      const answer = await fetch("/" + button)
      document.getElementById(output).textContent = await answer.text()
    }
</script>
{% else %}
<form method="post"><label>Name <input name="name"></label> <button>Sign in</button></form>
{% endif %}
"""

app = Flask(__name__)
# All processes need the same key: else a user who meets another one is signed out.
app.secret_key = os.environ.get("BOARD_SECRET", "for tests only")


@app.get("/")
def board() -> str:
    return render_template_string(PAGE, name=session.get("name"))


@app.post("/")
def sign_in() -> Response:
    session["name"] = request.form["name"]
    return redirect("/")


@app.get("/report")
def report() -> str:
    time.sleep(3)
    return "the report"


@app.get("/news")
def news() -> str:
    return "the news"
