"""article.html: the outcome as a page with charts; no script, nothing loaded from anywhere."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pytest_winserve.article.outcome import Outcome
from pytest_winserve.article.text import TITLE
from pytest_winserve.report.charts import paired_bars


def render(outcome: Outcome) -> str:
    """The page."""
    environment = Environment(
        loader=ChoiceLoader([
            PackageLoader("pytest_winserve.article"), PackageLoader("pytest_winserve.report"),
        ]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    charts = [
        (bars.title, paired_bars(f"bars-{number}", bars.title, bars.unit, bars.rows))
        for number, bars in enumerate(outcome.bars)
    ]
    return environment.get_template("article.html.j2").render(
        title=TITLE, outcome=outcome, charts=charts
    )
