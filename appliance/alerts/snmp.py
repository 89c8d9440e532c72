"""An SNMPv2c notification, encoded with pyasn1's modules of RFC 1901 and 1905.

Object identifiers stand below 1.3.6.1.4.1.8072.9999.9999, which NET-SNMP-MIB (netSnmpPlaypen) sets aside for local
use: this project has no enterprise number.
"""

from __future__ import annotations

import time

from pyasn1.codec.ber import encoder
from pyasn1_modules import rfc1901, rfc1905

_BASE = (1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 25)
#: posthouseAlert; below it .1 kind, .2 name, .3 text.
ALERT_OID = (*_BASE, 0, 1)
_SYS_UPTIME = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_SNMP_TRAP_OID = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)


def notification(community: str, kind: str, name: str, text: str) -> bytes:
    """The packet of an SNMPv2-Trap-PDU with sysUpTime.0, snmpTrapOID.0 and three strings (RFC 3416, 4.2.6)."""
    hundredths = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 100) % 2**32
    trap = rfc1905.SNMPv2TrapPDU()
    trap["request-id"] = int(time.monotonic_ns()) % 2**31
    trap["error-status"] = 0
    trap["error-index"] = 0
    bindings = rfc1905.VarBindList()
    values = (
        (_SYS_UPTIME, "application-wide", "timeticks-value", hundredths),
        (_SNMP_TRAP_OID, "simple", "objectID-value", ALERT_OID),
        *(
            ((*_BASE, 1, number, 0), "simple", "string-value", value.encode()[:1024])
            for number, value in enumerate((kind, name, text), 1)
        ),
    )
    for position, (oid, syntax, field, value) in enumerate(values):
        binding = rfc1905.VarBind()
        binding["name"] = oid
        binding[1]["value"][syntax][field] = value
        bindings[position] = binding
    trap["variable-bindings"] = bindings
    message = rfc1901.Message()
    message["version"] = 1
    message["community"] = community
    pdus = rfc1905.PDUs()
    pdus["snmpV2-trap"] = trap
    message["data"] = pdus
    return bytes(encoder.encode(message))
