"""Changes to another folder while it loads, and removes the one that it came from the path."""

from __future__ import annotations

import os
import tempfile

from .answer import answering

os.chdir(tempfile.mkdtemp(prefix="moved-"))
app = answering(lambda environ: os.getcwd())  # noqa: PTH109
