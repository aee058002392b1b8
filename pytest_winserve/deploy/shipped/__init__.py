"""What a deployed folder gets as it is: programs of Python's standard library alone, 3.10 or later,
that know nothing of this package."""
