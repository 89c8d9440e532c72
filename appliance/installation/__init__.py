"""Making a Debian server a Posthouse node: what `posthouse init` checks and does, step by step."""
