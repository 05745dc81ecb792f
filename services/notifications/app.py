"""The web process: `gunicorn 'services.notifications.app:create()'`."""

from __future__ import annotations

from flask import Flask

from sagashop import keys, redis_clients
from sagashop import settings as env
from sagashop.audit.elsewhere import elsewhere
from sagashop.audit.house import House
from sagashop.audit.web import audit_blueprint
from sagashop.bus import Bus, connect_bus
from sagashop.jobs.audit import JobsUnderWay
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.web import jobs_blueprint
from sagashop.sessions import Sessions
from sagashop.web.admin import admin_blueprint
from sagashop.web.app import create_app
from services.notifications.broadcasts import Broadcasts
from services.notifications.caught import Catcher, caught_mails
from services.notifications.devices import Devices
from services.notifications.messages import CHANNEL
from services.notifications.newsletters import Newsletters
from services.notifications.phone_routes import broadcasts, devices
from services.notifications.routes import newsletters, notices, wishes
from services.notifications.settings import NotificationsSettings
from services.notifications.store import SERVICE
from services.notifications.topology import TOPOLOGY, with_a_phone
from services.notifications.wishes import Wishes


def create(settings: NotificationsSettings | None = None, *, bus: Bus | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(NotificationsSettings)
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    queue, bus = JobQueue(SERVICE, ledger, admit_percent=settings.admit_memory_percent), bus or connect_bus(settings)
    outside = [JobsUnderWay(queue), *elsewhere(SERVICE, settings, ledger, TOPOLOGY)]
    house = House(SERVICE, ledger, [], outbox=lambda: int(ledger.xlen(keys.stream(CHANNEL))), elsewhere=outside)
    return create_app(
        SERVICE,
        settings,
        blueprints=[
            notices(bus),
            devices(Devices(bus, settings.phones_per_customer)),
            broadcasts(Broadcasts(bus)),
            newsletters(Newsletters(ledger, queue)),
            wishes(Wishes(ledger, settings.mail_secret)),
            caught_mails(Catcher(settings.mail_catcher_url)),
            jobs_blueprint(queue),
            admin_blueprint(SERVICE, ledger, [CHANNEL], with_a_phone(settings.phone_limits)),
            audit_blueprint(house),
        ],
        checks={
            "redis-ledger": redis_clients.check("redis-ledger", ledger),
            "redis-session": redis_clients.check("redis-session", session),
        },
        sessions=Sessions(session, settings.session_ttl_s, settings.session_max_s),
    )
