"""Fence programs: the leading controller runs them, and `posthouse node set-fence` asks one before it is relied on."""
