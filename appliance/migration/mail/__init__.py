"""Mail of a foreign system, brought into a mailbox by Dovecot's own tools.

A source becomes a tree of Maildir folders (`maildir` reads one where it lies; `mbox` and
`imap` first make a private mirror); `staging` picks what the mailbox has not got yet
(`ledger`), and `delivery` hands that to Dovecot. Why it is done so: decision 0050.
"""
