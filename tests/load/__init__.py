"""Mail load with a memory: senders that record every 250, and auditors that look for each in the mailboxes."""
