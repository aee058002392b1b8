"""Answers with what reached it."""

from __future__ import annotations

from apps.answer import answering

app = answering(
    lambda environ: {
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "headers": {key: value for key, value in environ.items() if key.startswith("HTTP_")},
    }
)
