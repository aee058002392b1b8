"""Wheels for Windows of what an app requires, with all that these require in turn.

What has only its source is built here, and is good where no compiled code comes of it. All that
cannot be had for Windows is told at once.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from pytest_winserve.errors import StartError, UsageError
from pytest_winserve.shipping.wheels import pip

APP, LAB = "the app", "the lab"
NO_WHEEL = "there is no wheel of it for Windows"
PURE = "-none-any.whl"
NOT_FOUND = "No matching distribution found"
ADVICE = (
    "what the app can do without on Windows, a marker in the requirements file leaves out there: "
    '{name}; sys_platform != "win32"'
)
_VERSIONS = re.compile(r"\(from versions: (.*?)\)")

Tell = Callable[[str], None]


@dataclass(slots=True)
class Wanted:
    """What is wanted of one package: by whom, which versions, with which extras."""

    name: str
    specifier: SpecifierSet
    extras: set[str]
    by: list[str]
    url: str | None = None
    wheel: Path | None = None
    looked_at: set[str] = field(default_factory=set)
    """The extras whose requirements are known; an empty one for none."""

    @property
    def text(self) -> str:
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}{self.specifier}"

    @property
    def there(self) -> bool:
        """Whether its wheel is of a version that everybody wants."""
        if self.wheel is None:
            return False
        version = parse_wheel_filename(self.wheel.name)[1]
        return self.specifier.contains(version, prereleases=True)


@dataclass(slots=True)
class WindowsWheels:
    """Gathers wheels in `folder` for a Python of Windows: `markers` are its dependency markers,
    `options` what pip needs to know of it, `lock` as for `pip`."""

    folder: Path
    markers: Mapping[str, str]
    options: Sequence[str]
    lock: int | None
    tell: Tell
    wanted: dict[str, Wanted] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def gather(self, requirements: Iterable[str], by: str = APP) -> None:
        """Have all that is required `by` somebody, and what that requires. What was gathered before
        stays as it is where it will do."""
        self._want(map(_named, requirements), by, {""})
        while True:
            lacking = [
                one
                for key, one in self.wanted.items()
                if key not in self.problems and not one.there
            ]
            if not lacking:
                return
            self._get(lacking)
            for one in list(self.wanted.values()):
                if one.wheel is not None and not {"", *one.extras} <= one.looked_at:
                    one.looked_at = {"", *one.extras}
                    self._want(required_by(one.wheel), one.name, one.looked_at)

    def check(self) -> None:
        """Raise StartError that names all that cannot be had."""
        if not self.problems:
            return
        known = sorted(self.problems.items())
        spared = [key for key, reason in known if NO_WHEEL in reason][:1]
        lines = [
            "not everything that the app requires can be had for Windows:",
            *(f"  {reason}" for _, reason in known),
            *(ADVICE.format(name=key) for key in spared),
        ]
        raise StartError("\n".join(lines))

    def has(self, name: str) -> bool:
        return canonicalize_name(name) in self.wanted

    def files(self) -> list[str]:
        return [str(one.wheel) for one in self.wanted.values() if one.wheel is not None]

    def _want(self, requirements: Iterable[Requirement], by: str, extras: set[str]) -> None:
        for need in requirements:
            if need.marker is not None and not any(
                need.marker.evaluate({**self.markers, "extra": extra}) for extra in extras
            ):
                continue
            key = canonicalize_name(need.name)
            known = self.wanted.setdefault(
                key, Wanted(need.name, SpecifierSet(), set(), [], need.url)
            )
            known.specifier &= need.specifier
            known.extras |= need.extras
            known.by += [] if by in known.by else [by]

    def _get(self, lacking: Sequence[Wanted]) -> None:
        """Download their wheels, all at once; where that fails, find out whose fault it is."""
        with tempfile.TemporaryDirectory(dir=self.folder) as temp:
            try:
                pip("download", "--no-deps", *self.options, "--dest", temp,
                    *(one.text for one in lacking), lock=self.lock)  # fmt: skip
            except StartError as error:
                if len(lacking) == 1:
                    self._build(lacking[0], str(error))
                    return
            else:
                for path in Path(temp).iterdir():
                    self._take(path)
                return
        middle = len(lacking) // 2
        self._get(lacking[:middle])
        self._get(lacking[middle:])

    def _take(self, path: Path) -> None:
        one = self.wanted[parse_wheel_filename(path.name)[0]]
        if one.wheel is not None:
            one.wheel.unlink()
            one.looked_at = set()
        one.wheel = path.rename(self.folder / path.name)

    def _build(self, one: Wanted, said: str) -> None:
        """Make the wheel here, of the source; or note why there is none."""
        key = canonicalize_name(one.name)
        who = one.text if one.by == [APP] else f"{one.text} (for {', '.join(one.by)})"
        with tempfile.TemporaryDirectory(dir=self.folder) as temp:
            try:
                pip("download", "--no-deps", "--only-binary=:all:", "--dest", temp, one.text,
                    lock=self.lock)  # fmt: skip
            except StartError:
                pass
            else:
                (path,) = Path(temp).glob("*.whl")
                pure = path.name.endswith(PURE)
                reason = _last(said) if pure else f"{NO_WHEEL}, only for other systems"
                self.problems[key] = f"{who}: {reason}"
                return
            try:
                pip("wheel", "--no-deps", f"--no-binary={one.name}", "--wheel-dir", temp, one.text,
                    lock=self.lock)  # fmt: skip
            except StartError as error:
                self.problems[key] = f"{who}: {_why(one, said, str(error))}"
                return
            (path,) = Path(temp).glob("*.whl")
            if path.name.endswith(PURE):
                self.tell(f"        {one.text} has only its source, built here")
                self._take(path)
            else:
                reason = "only its source, which needs a compiler there"
                self.problems[key] = f"{who}: {NO_WHEEL}, {reason}"


def _named(text: str) -> Requirement:
    """A requirement, or the path of a wheel, as pip takes it on its command line. Raises
    UsageError."""
    path = Path(text)
    try:
        if path.suffix == ".whl" and path.is_file():
            return Requirement(f"{parse_wheel_filename(path.name)[0]} @ {path.absolute().as_uri()}")
        return Requirement(text)
    except (InvalidRequirement, InvalidWheelFilename) as error:
        raise UsageError(f"{text!r} is no package: {error}") from None


def required_by(wheel: Path) -> list[Requirement]:
    """What a wheel says that it requires."""
    with zipfile.ZipFile(wheel) as file:
        name = next(n for n in file.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        headers = HeaderParser().parsestr(file.read(name).decode("utf-8", "replace"))
    return [Requirement(text) for text in headers.get_all("Requires-Dist", [])]


def _why(one: Wanted, said: str, building: str) -> str:
    """Why there is no wheel for Windows, and none could be built here."""
    if NOT_FOUND not in building:
        return f"{NO_WHEEL}, and its source cannot be built here: {_last(building)}"
    found = _VERSIONS.search(said) or _VERSIONS.search(building)
    if len(one.by) > 1:
        return "no version of it is what all of these want"
    known = f"; there are {found[1][-80:]}" if found and found[1] != "none" else ""
    return f"there is no such package, or no such version{known}"


def _last(said: str) -> str:
    """The last line of what pip said."""
    return said.strip().splitlines()[-1].strip()
