"""Settings of a small Django project; where its database is comes from the environment."""

from __future__ import annotations

import os

SECRET_KEY = os.environ.get("GUESTBOOK_SECRET", "for tests only")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["guestbook"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "guestbook.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("GUESTBOOK_DATABASE", "guestbook.db"),
        "OPTIONS": {"timeout": 30},
    }
}
