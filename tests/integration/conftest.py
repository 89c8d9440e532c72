"""Integration tests: one real engine, store or node."""

from __future__ import annotations

from tests.lab import engines

engines.offer("etcd", "etcdctl")
