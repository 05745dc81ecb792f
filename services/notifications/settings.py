"""What can be set in the notifications service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sagashop.jobs.job import Policy
from sagashop.settings import Settings, says


class NotificationsSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only notifications needs."""

    smtp_url: Annotated[
        str, says("Where e-mail goes: `smtp://host:25`, `smtp+starttls://user:password@host:587`, `smtps://host:465`")
    ] = "smtp://127.0.0.1:18006"
    mail_from: Annotated[str, says("Sender of e-mail, as `Name <address>`")] = "Sagashop <shop@sagashop.example>"
    mail_timeout_s: Annotated[float, Meta(gt=0, description="The SMTP server may take so long for a step, seconds")] = (
        10.0
    )
    mail_attempts: Annotated[int, Meta(ge=1, description="Attempts to send an e-mail before it is failed")] = 8
    mail_backoff_s: Annotated[
        float, Meta(gt=0, description="Pause after the first failed attempt; it doubles with each, seconds")
    ] = 5.0
    mail_keep_s: Annotated[
        int, Meta(ge=1, description="How long it is remembered that an e-mail was sent, seconds")
    ] = 86_400
    mail_catcher_url: Annotated[
        str, says("HTTP address of the mail catcher, whose mails are shown; empty for none")
    ] = ""

    @property
    def policy(self) -> Policy:
        """How the queue of e-mails is worked off."""
        return Policy(
            visibility_s=self.visibility_s, attempts=self.mail_attempts, backoff_s=self.mail_backoff_s,
            keep_s=self.mail_keep_s, timeout_s=max(60.0, 6 * self.mail_timeout_s),
        )  # fmt: skip
