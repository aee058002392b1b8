"""`winserve journey from-har`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from pytest_winserve.cli.shared import explained
from pytest_winserve.errors import UsageError

DATA = "users.csv"


@click.command("from-har")
@click.argument("recording", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path),
              help="the file to write (default: FILE with .toml)")  # fmt: skip
@click.option("--only", metavar="HOST", help="of several hosts, the one that the journey is for")
@click.option("--static", is_flag=True, help="static files, too")
@click.option("--think", type=click.Choice(["recorded", "none"]), default="recorded",
              show_default=True, help="how long the user waits after each step")  # fmt: skip
@click.option("--name", metavar="NAME", help="the journey's name (default: the name of FILE)")
def from_har(
    recording: Path, to: Path | None, only: str | None, static: bool, think: str, name: str | None
) -> None:
    """Make a journey of a browser's recording.

    FILE is what a browser's network log was saved as (HAR).
    Tokens that come with an answer and go back in a later request are taken anew by each user.
    Passwords, keys and cookies are not written: users.csv has a row for each user.
    """
    with explained():
        make(recording, to or Path(f"{recording.stem}.toml"), only, static, think, name)


def make(
    recording: Path, to: Path, only: str | None, static: bool, think: str, name: str | None
) -> None:
    """Write the journey's file, and that of its data unless there is one. Raises UsageError."""
    from pytest_winserve.drafts.chosen import chosen
    from pytest_winserve.drafts.from_har import draft_of
    from pytest_winserve.drafts.har_file import read_har

    refuse_existing(to)
    found = chosen(read_har(recording), only, static, recording.name)
    draft = draft_of(
        found, name or recording.stem, recording=recording.name, data=DATA,
        think=think == "recorded",
    )  # fmt: skip
    data = to.parent / DATA
    has_data = bool(draft.columns) and data.exists()
    write(to, draft.text)
    if draft.columns and not has_data:
        write(data, _csv_line(draft.columns))
    left_out = f"; left out: {', '.join(found.left_out)}" if found.left_out else ""
    click.echo(f"{to}: {draft.steps} step{'s' * (draft.steps > 1)}{left_out}")
    if draft.taken:
        click.echo(f"taken from answers: {', '.join(draft.taken)}")
    for text in draft.told:
        click.echo(f"note: {text}")
    if draft.columns:
        columns = ",".join(draft.columns)
        click.echo(
            f"{data} is there already and stays as it is: it needs the columns {columns}"
            if has_data
            else f"write one row per user into {data}: {columns}"
        )
    click.echo(f"then try it: winserve journey check {to}")


def refuse_existing(place: Path) -> None:
    """UsageError where a file would be written over."""
    if place.exists():
        raise UsageError(f"{place} is there already: name another file by --to, or remove it")


def write(place: Path, text: str) -> None:
    """Write a file of UTF-8. Raises UsageError where that cannot be."""
    try:
        place.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}") from None


def _csv_line(columns: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(columns)
    return line.getvalue()
