"""Apps that misbehave, each in one way."""
