SAMPLE_APP = "pytest_winserve.sample_app:app"
"""The app that is served where no other is named or found."""
