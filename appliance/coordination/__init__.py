"""One store interface (`store.py`); backends beside it. Callers get one from `connect()` and know no backend."""
