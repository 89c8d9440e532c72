"""The controller with a real etcd: processes of it, keepers that run the protocol's own code, a real fence program."""
