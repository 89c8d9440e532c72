"""etcd as an engine: the member of the coordination store on a control node."""

from appliance.engines.etcd.engine import Etcd

__all__ = ["Etcd"]
