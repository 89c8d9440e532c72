"""Dovecot and Pigeonhole as an engine: IMAP, POP3, ManageSieve, LMTP delivery, signing in, quota."""

from appliance.engines.dovecot.engine import Dovecot

__all__ = ["Dovecot"]
