"""A small shop: products, orders in SQLite, one slow report.

Several processes may serve it side by side. That is why the orders are in a file and not in a
dictionary: each process would have a dictionary of its own.
"""

from __future__ import annotations

import getpass
import math
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

PRODUCTS = (("tea", 450), ("coffee", 780), ("cup", 1290))
MAX_REPORT_SECONDS = 60.0
BUSY_SECONDS = 30.0


def create_app(database: str | os.PathLike[str] | None = None) -> Flask:
    """The shop on a database file: the argument, or `SHOP_DATABASE`, or a file in the temporary
    folder. The file is made when it is not there."""
    path = Path(database or os.environ.get("SHOP_DATABASE") or default_database())
    create_tables(path)
    app = Flask(__name__)

    def db() -> sqlite3.Connection:
        if "db" not in g:
            g.db = connect(path)
        connection: sqlite3.Connection = g.db
        return connection

    @app.teardown_appcontext
    def close(_: BaseException | None) -> None:
        connection = g.pop("db", None)
        if connection is not None:
            connection.close()

    @app.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @app.get("/products")
    def products() -> Response:
        rows = db().execute("SELECT name, cents FROM products ORDER BY name").fetchall()
        return jsonify([{"name": name, "cents": cents} for name, cents in rows])

    @app.get("/orders")
    def orders() -> Response:
        (count,) = db().execute("SELECT count(*) FROM orders").fetchone()
        return jsonify(count=count)

    @app.post("/orders")
    def order() -> tuple[Response, int]:
        product, quantity = wanted(request.get_json())
        if db().execute("SELECT 1 FROM products WHERE name = ?", (product,)).fetchone() is None:
            raise NotFound(f"there is no product {product!r}")
        with db() as transaction:
            made = transaction.execute(
                "INSERT INTO orders (product, quantity) VALUES (?, ?)", (product, quantity)
            )
        return jsonify(id=made.lastrowid), 201

    @app.get("/report")
    def report() -> Response:
        """What was sold, after `seconds` of the work that a real report would be."""
        time.sleep(report_seconds(request.args.get("seconds", "1")))
        rows = db().execute(
            "SELECT name, coalesce(sum(quantity), 0), coalesce(sum(quantity * cents), 0) "
            "FROM products LEFT JOIN orders ON product = name GROUP BY name ORDER BY name"
        )
        return jsonify([{"name": n, "sold": sold, "cents": cents} for n, sold, cents in rows])

    return app


def wanted(order: object) -> tuple[str, int]:
    """The product and the quantity of an order; answers 400 to what is none."""
    match order:
        case {"product": str(product), "quantity": int(quantity)} if 0 < quantity <= 1000:
            return product, quantity
    raise BadRequest('an order is {"product": NAME, "quantity": 1 to 1000}')


def report_seconds(text: str) -> float:
    """The seconds that a report is to take; answers 400 to what is not 0 to 60."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_REPORT_SECONDS:
        raise BadRequest(f"seconds={text}: a number from 0 to {MAX_REPORT_SECONDS:g}")
    return seconds


def default_database() -> Path:
    return Path(tempfile.gettempdir()) / f"shop-{getpass.getuser()}.sqlite"


def connect(path: Path) -> sqlite3.Connection:
    # Other processes write to the same file: wait for them, do not fail.
    return sqlite3.connect(path, timeout=BUSY_SECONDS)


def create_tables(path: Path) -> None:
    """Make tables and products unless they are there; safe when several processes do it at once."""
    with closing(connect(path)) as db, db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE IF NOT EXISTS products (name TEXT PRIMARY KEY, cents INTEGER)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS orders "
            "(id INTEGER PRIMARY KEY, product TEXT REFERENCES products, quantity INTEGER)"
        )
        db.executemany("INSERT OR IGNORE INTO products VALUES (?, ?)", PRODUCTS)
