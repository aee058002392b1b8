from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from guestbook.models import Entry


def entries(request: HttpRequest) -> JsonResponse:
    """The names in the book; a POST adds one."""
    if request.method == "POST":
        Entry.objects.create(name=request.POST["name"])
    names = Entry.objects.order_by("id").values_list("name", flat=True)
    return JsonResponse({"names": list(names)})


urlpatterns = [path("entries", entries)]
