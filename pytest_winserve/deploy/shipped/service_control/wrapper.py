"""The program that makes a Windows service of any other: each is a module of its own, which the
name SERVICES in settings.py chooses."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from .site import SETTINGS, Service


class Wrapper(Protocol):
    """What such a module has. `windows.change` says what a command that fails raises."""

    @property
    def PROGRAM(self) -> Path:  # noqa: N802 - a constant
        """The program, in the deployed folder."""

    def program_of(self, service: Service) -> Path:
        """What Windows starts as the service."""

    def make(self, service: Service) -> None:
        """Make the service, or bring one that is there to what settings.py says."""

    def set_needs(self, service: Service, names: list[str]) -> None:
        """Have Windows start those services first, also after a reboot; none: it needs none."""

    def set_account(self, service: Service, account: str, password: str | None) -> None:
        """Have Windows run it under that account; None: one that has no password. A password is
        given once, however busy Windows is."""

    def removal(self, service: Service) -> list[str]:
        """The command that removes it."""

    def clean(self, service: Service) -> None:
        """Take away what was made beside the service, when that is removed."""


def get_wrapper() -> Wrapper:
    return cast(Wrapper, importlib.import_module(f".{SETTINGS['SERVICES']}", __package__))
