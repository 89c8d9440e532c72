"""Postfix as an engine: SMTP in, submission, the queue, delivery by LMTP and to the Internet."""

from appliance.engines.postfix.engine import Postfix

__all__ = ["Postfix"]
