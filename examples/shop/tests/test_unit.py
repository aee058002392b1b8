"""An ordinary test: no lab, no server. The plugin does nothing for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import shop


def test_an_order_is_kept_and_reported(tmp_path: Path) -> None:
    client = shop.create_app(tmp_path / "shop.sqlite").test_client()
    assert client.post("/orders", json={"product": "tea", "quantity": 2}).status_code == 201
    assert client.get("/orders").json == {"count": 1}
    report = client.get("/report?seconds=0").json
    assert report == [
        {"name": "coffee", "sold": 0, "cents": 0},
        {"name": "cup", "sold": 0, "cents": 0},
        {"name": "tea", "sold": 2, "cents": 900},
    ]


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"product": "tea", "quantity": 0}, 400),
        ({"product": "tea"}, 400),
        (["tea", 1], 400),
        ({"product": "gold", "quantity": 1}, 404),
    ],
)
def test_a_wrong_order_is_refused(tmp_path: Path, order: object, status: int) -> None:
    client = shop.create_app(tmp_path / "shop.sqlite").test_client()
    assert client.post("/orders", json=order).status_code == status
    assert client.get("/orders").json == {"count": 0}
