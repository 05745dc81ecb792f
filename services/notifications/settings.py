"""What can be set in the notifications service."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta

from sagashop.jobs.job import Policy
from sagashop.settings import Settings, says


class Limits(NamedTuple):
    """What bounds the queue of a device.

    message_ttl_s: a message waits no longer
    length:        messages that wait; beyond it the oldest go
    expires_s:     the queue goes when no phone has used it for so long
    """

    message_ttl_s: int
    length: int
    expires_s: int


class NotificationsSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only notifications needs."""

    smtp_url: Annotated[
        str, says("Where e-mail goes: `smtp://host:25`, `smtp+starttls://user:password@host:587`, `smtps://host:465`")
    ] = "smtp://127.0.0.1:18006"
    smtp_ca_file: Annotated[
        str, says("PEM file of who signed the SMTP server's certificate; empty: whom the system trusts")
    ] = ""
    mail_from: Annotated[str, says("Address that e-mail comes from")] = "shop@sagashop.example"
    mail_secret: Annotated[
        str, says("Signs the links by which readers stop newsletters; empty: newsletters have no such links")
    ] = ""
    mail_timeout_s: Annotated[float, Meta(gt=0, description="The SMTP server may take so long for a step, seconds")] = (
        10.0
    )
    mail_attempts: Annotated[int, Meta(ge=1, description="Attempts to send an e-mail before it is failed")] = 8
    mail_backoff_s: Annotated[
        float, Meta(gt=0, description="Pause after the first failed attempt; it doubles with each, seconds")
    ] = 5.0
    mail_keep_s: Annotated[
        int, Meta(ge=1, description="How long it is remembered that an e-mail was sent, seconds")
    ] = 3_600
    mail_catcher_url: Annotated[
        str, says("HTTP address of the mail catcher, whose mails are shown; empty for none")
    ] = ""

    phones_per_customer: Annotated[int, Meta(ge=1, description="Devices that a customer may register")] = 10
    phone_message_ttl_s: Annotated[
        int, Meta(ge=1, description="A message waits for a phone that is off line no longer than this, seconds")
    ] = 604_800
    phone_queue_length: Annotated[
        int, Meta(ge=1, description="Messages that wait for one phone; beyond it the oldest go")
    ] = 500
    phone_queue_expires_s: Annotated[
        int, Meta(ge=1, description="The queue of a phone that has not come for so long is deleted, seconds")
    ] = 2_592_000
    phone_outbox_length: Annotated[
        int, Meta(ge=1, description="Messages to phones kept while RabbitMQ is away; beyond it the oldest go")
    ] = 100_000
    phone_prefetch: Annotated[
        int, Meta(ge=1, description="Messages on their way to a phone that it has not acknowledged yet")
    ] = 20
    phone_ping_s: Annotated[
        float, Meta(gt=0, description="A silent phone is pinged after so long, and given up after twice that, seconds")
    ] = 25.0
    phone_connections: Annotated[
        int, Meta(ge=1, le=2000, description="Phones that one gateway process takes, at most 2000")
    ] = 2_000

    @property
    def phone_limits(self) -> Limits:
        """What bounds the queue of a device."""
        return Limits(self.phone_message_ttl_s, self.phone_queue_length, self.phone_queue_expires_s)

    @property
    def policy(self) -> Policy:
        """How the queue of e-mails is worked off."""
        return Policy(
            visibility_s=self.visibility_s, attempts=self.mail_attempts, backoff_s=self.mail_backoff_s,
            keep_s=self.mail_keep_s, timeout_s=max(60.0, 6 * self.mail_timeout_s),
        )  # fmt: skip
