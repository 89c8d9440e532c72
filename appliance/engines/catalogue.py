"""Every engine that the product knows, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from appliance.cluster.names import EngineName, InstanceId
from appliance.engines import topology
from appliance.engines.base import Engine
from appliance.engines.dovecot.edge import DovecotEdge
from appliance.engines.dovecot.engine import Dovecot
from appliance.engines.etcd.engine import Etcd
from appliance.engines.postfix.engine import Postfix
from appliance.engines.slapd.engine import Slapd

ENGINES: Mapping[EngineName, Engine] = MappingProxyType(
    {engine.facts.name: engine for engine in (Etcd(), Slapd(), Dovecot(), Postfix())}
)

_EDGE: Engine = DovecotEdge()


def engine_of(instance: InstanceId) -> Engine:
    """How an instance is run; raises KeyError for an engine that this release does not know."""
    return _EDGE if instance == topology.EDGE else ENGINES[instance.engine]
