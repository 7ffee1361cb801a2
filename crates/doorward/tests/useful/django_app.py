"""Django: its migrations, what it reads of a schema, and rows made, read, changed and removed."""
import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": os.environ["PGPASSWORD"],
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    USE_TZ=True,
    SECRET_KEY="none",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()

from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import Count, Q  # noqa: E402

call_command("migrate", verbosity=0)
for n in range(20):
    user = User.objects.create_user(f"user{n}", f"user{n}@example.com", "x")
    group, _ = Group.objects.get_or_create(name=f"group {n % 4}")
    user.groups.add(group)
    assert User.objects.filter(Q(username__startswith="user") & ~Q(groups__name="none")).exists()
    with transaction.atomic():
        again = User.objects.select_for_update().get(pk=user.pk)
        again.first_name = "First"
        again.save(update_fields=["first_name"])
    assert not user.has_perm("auth.add_user")
assert [g.users for g in Group.objects.annotate(users=Count("user")).order_by("name")] == [5, 5, 5, 5]
list(User.objects.prefetch_related("groups__permissions").values_list("username", "groups__name"))
list(Permission.objects.select_related("content_type").order_by("codename")[:10])
User.objects.bulk_create([User(username=f"bulk{n}") for n in range(10)], ignore_conflicts=True)
User.objects.filter(username__startswith="bulk").update(is_active=False)
User.objects.filter(is_active=False).delete()
call_command("inspectdb", stdout=open(os.devnull, "w"))
call_command("flush", interactive=False, verbosity=0)
