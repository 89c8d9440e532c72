# The directory: domains, mailboxes, aliases.

directory-unavailable = The directory does not answer: { $detail }. Nothing is known to have changed; try again.
directory-refused = The directory refused: { $detail }
directory-not-allowed = This account may not administer the directory: run the command as root. The directory says: { $detail }
directory-seed-failed = The first entries of the directory could not be loaded: { $detail }
