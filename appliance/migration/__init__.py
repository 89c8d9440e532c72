"""Coming from elsewhere: accounts from files, mail from Maildir and mbox trees and from other IMAP servers.

`accounts/` reads foreign lists of accounts and puts them into the directory;
`mail/` brings messages by Dovecot's own tools. Both go on where an earlier run
stopped, end with a report, and never change the source. Used by
`posthouse migrate`; docs/operators/migrating.md tells how, decision 0050 why.
"""
