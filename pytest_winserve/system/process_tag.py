"""The variable by which the processes of a site are found again."""

from __future__ import annotations

TAG_VARIABLE = "WINSERVE_TAG"
"""The environment variable by which a deployment's processes are known."""
