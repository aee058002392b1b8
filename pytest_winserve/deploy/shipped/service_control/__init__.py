"""What control.py does, by what: the site, Windows' service manager, and the program that makes
a service of any other."""
