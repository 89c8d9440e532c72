"""etcd's gRPC messages and stubs, as generated code of PyPI's `etcd3`.

Only its generated modules are used, never its client class: that one has no deadline on
watches and loses them silently (docs/decisions/0040-etcd-client.md). Nothing else in the
project imports grpc or etcd3.
"""

from __future__ import annotations

import os
import warnings

# Before the import: gRPC's C core writes connection failures to standard error; we report them as StoreUnavailable.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

with warnings.catch_warnings():
    # The generated code builds its descriptors with functions that protobuf 3.20 calls deprecated.
    warnings.filterwarnings("ignore", "Call to deprecated create function", DeprecationWarning)
    from etcd3.etcdrpc import auth_pb2, kv_pb2, rpc_pb2, rpc_pb2_grpc

__all__ = ["auth_pb2", "grpc", "kv_pb2", "rpc_pb2", "rpc_pb2_grpc"]
