"""Accounts of a foreign system: read (table, entries), understood (record, hashes), brought in (importer), reported."""
