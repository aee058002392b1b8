"""Tests of the failure paths, with real programs that misbehave."""
