"""Installs, starts, stops and looks at the services that settings.py describes.

The .cmd files run it: `python control.py install`. Every one of its commands can be interrupted and
run again. What they do is in service_control/commands.py.
"""

import runpy
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
runpy.run_module("service_control.commands", run_name="__main__")
