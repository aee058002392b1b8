"""What all tests share: the kit, and the rule that nothing real is skipped unnoticed."""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "tests.kit.commands",
    "tests.kit.components",
    "tests.kit.fixtures",
    "tests.kit.order",
    "tests.kit.passed",
    "tests.kit.raw_server",
    "tests.kit.results",
    "tests.kit.strictness",
    "tests.kit.traces",
    "tests.kit.wheel",
]
