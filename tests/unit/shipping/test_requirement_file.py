"""An app's requirements file, read for another machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pytest_winserve.errors import UsageError
from pytest_winserve.shipping.requirement_file import read_requirements


def written(folder: Path, text: str) -> Path:
    file = folder / "requirements.txt"
    file.write_text(text, "utf-8")
    return file


def test_what_it_lists(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("requests>=2  # for the shop\n")
    file = written(
        tmp_path,
        "\ufeff# what the shop needs\n\n"
        "flask==3.0.3 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "-r more/base.txt\n"
        "uvloop; sys_platform != 'win32'\n"
        "Pillow[xmp] ~= 10.0\n"
        "tool @ https://example.org/tool-1.0.zip#sha256=aa\n",
    )
    expected = [
        "flask==3.0.3",
        "requests>=2",
        'uvloop; sys_platform != "win32"',
        "Pillow[xmp]~=10.0",
        "tool @ https://example.org/tool-1.0.zip#sha256=aa",
    ]
    assert read_requirements(file) == [str(Requirement(text)) for text in expected]


def test_an_empty_one(tmp_path: Path) -> None:
    assert read_requirements(written(tmp_path, "# nothing\n\n")) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-e .", "'-e .' is a place on this machine; leave it out"),
        ("--editable=./shop", "is a place on this machine"),
        ("./wheels/shop-1.0-py3-none-any.whl", "is a place on this machine"),
        ("shop-1.0.tar.gz", "is a place on this machine"),
        ("C:\\shop", "is a place on this machine"),
        ("shop @ file:///home/me/shop", "is a place on this machine; write shop==VERSION"),
        ("--index-url https://example.org", "'--index-url' is an option of pip's"),
        ("-c constraints.txt", "'-c' is an option of pip's"),
        ("git+https://example.org/shop", "has no name; write NAME @ git+https://example.org/shop"),
        ("flask=3.0", "'flask=3.0' is no requirement"),
        ("flask ==", "'flask ==' is no requirement"),
        ("<<<<<<< HEAD", "'<<<<<<< HEAD' is no requirement"),
    ],
)
def test_a_line_that_cannot_be(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_requirements(written(tmp_path, f"flask\n# a comment\n{line}\n"))
    assert str(caught.value).startswith("requirements.txt, line 3: ")
    assert said in str(caught.value)


def test_a_line_of_an_included_file_is_told_by_that_file(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("\n-e .\n")
    with pytest.raises(UsageError, match=r"^base\.txt, line 2: "):
        read_requirements(written(tmp_path, "-r base.txt"))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: .*pip freeze"):
        read_requirements(tmp_path / "none.txt")
    with pytest.raises(UsageError, match=r"^requirements\.txt, line 1: .*cannot be read"):
        read_requirements(written(tmp_path, "-r none.txt"))
    (tmp_path / "utf16.txt").write_bytes("flask".encode("utf-16"))
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_requirements(tmp_path / "utf16.txt")


def test_one_that_includes_itself(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="includes itself"):
        read_requirements(written(tmp_path, "-r requirements.txt"))
