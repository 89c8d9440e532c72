# posthouse migrate: accounts and mail from other systems.

# --- accounts: what is wrong with a row ---

migrate-no-address = address: it is empty
migrate-no-domain = address: “{ $value }” has no domain; name one with --domain
migrate-bad-quota = quota: “{ $value }” is no size such as 500M, 2G or a number of bytes
migrate-bad-status = status: “{ $value }” is not known; use active or disabled
migrate-deleted-there = status: the account is marked as deleted there
migrate-cell-too-long = { $column }: longer than { $maximum } characters
migrate-bad-csv = The row is no well-formed CSV: { $detail }
migrate-bad-ldif = The record is no well-formed LDIF: { $detail }
migrate-ldif-change = The record is a change ({ $change }), not an entry
migrate-ldif-not-utf8 = { $attribute }: the value is not UTF-8
migrate-row-twice = address: { $value } stood already in line { $first }

# --- accounts: what is wrong with a file ---

migrate-not-text = { $field }: line { $line } holds a zero byte; this is no text file
migrate-not-decodable = { $field }: line { $line } is not text in { $encodings }; name the file's encoding with --encoding
migrate-unknown-encoding = { $field }: “{ $value }” is no known encoding
migrate-no-address-column = { $field }: the first line must name the columns, one of them “address” or “email”; it says: { $heading }
migrate-column-twice = { $field }: two columns give the { $meaning }, the second is “{ $column }”
migrate-file-too-large = { $field }: larger than { $maximum }; split the file

# --- accounts: notes on a row ---

migrate-weak-hash = Its password hash ({ $scheme }) is too weak, or not well-formed, to be kept.
migrate-no-password = The source gives no password.
migrate-forward-not-brought = Forwarding to { $targets } is not brought over; set it up as a filter rule of the mailbox.

# --- mail: what stops a mailbox, or is left out ---

migrate-needs-root = This must be run as root: it reads other people's mail.
migrate-inside-volume = { $field }: { $path } and the product's own data in { $volume } overlap; copy the source elsewhere first
migrate-bad-folder = { $field }: “{ $value }” is no folder name
migrate-group-not-here = This node does not hold the volume of group { $group }; run this on the node that does. See: posthouse status
migrate-busy = Another migration into { $address } is at work.
migrate-orphan = Process { $pid } of an earlier run does not end.
migrate-dovecot-unavailable = Dovecot does not answer for { $address }: { $detail }. See: posthouse status
migrate-dovecot-says = Dovecot complains ({ $what }): { $detail }
migrate-no-space = The volume has { $free } free; { $needed } are needed.
migrate-no-maildir = { $path } holds no Maildir: there is no folder “cur” or “new” in it, or in its folders.
migrate-source-unreadable = { $path } cannot be read: { $detail }
migrate-folder-unreadable = Folder { $folder } is left out: { $detail }
migrate-file-unreadable = File { $file } is left out: { $detail }
migrate-link-not-followed = { $path } is a symbolic link and is left out.
migrate-no-message-file = { $path } is no regular file and is left out.
migrate-file-of-somebody-else = { $path } is a hard link to somebody else's file and is left out.
migrate-mbox-busy = { $path } keeps changing while it is read; stop the program that writes to it.
migrate-not-arrived = { $folder }: { $count } messages did not arrive; run the command again.
migrate-tree-empty = Nothing below { $path } is named like { $layout }.
migrate-layout-kind = { $field }: “{ $value }” must begin with “maildir:” or “mbox:”
migrate-layout-address = { $field }: “{ $value }” must hold {"{"}local{"}"} or {"{"}address{"}"}, each placeholder once
migrate-layout-domain = { $field }: “{ $value }” says no domain; add {"{"}domain{"}"} or name it with --domain
migrate-layout-climbs = { $field }: “{ $value }” must stay below PATH: no “..”, no leading “/”

# --- mail: another IMAP server ---

migrate-login-refused = { $server } refuses the login of { $user }: { $detail }
migrate-certificate-refused = The certificate of { $server } is not trusted: { $detail}. Name its authority with --ca, or accept any with --insecure.
migrate-no-tls = { $server } does not speak TLS as wanted: { $detail }. See --tls and --port.
migrate-server-unknown = server: { $server } is not found: { $detail }
migrate-server-unavailable = { $server } does not answer: { $detail }
migrate-clear-needs-insecure = { $field }: without TLS the password crosses the network to { $server } readable; say --insecure to accept that
migrate-address-or-list = { $field }: give either one ADDRESS or --accounts FILE
migrate-password-empty = { $field }: it is empty
migrate-control-character = { $field }: control characters are not allowed
migrate-fetching-failed = Fetching from { $server } stopped: { $detail }. What has come is kept; run the command again to go on.
migrate-count-differs = { $folder }: the other server has { $there } messages, { $fetched } were fetched; run the command again.
migrate-list-heading = { $field }: the first line must name the columns “user” and “password”, and may name “address”; it says: { $heading }
migrate-list-empty = { $field }: it is empty
migrate-list-line = Line { $line } of the list: { $reason }

# --- mail: notes ---

migrate-folder-renamed = Folder { $folder } is named { $new } here.
migrate-too-many-keywords = { $folder }: { $count } keywords are lost; a folder can hold 26.
migrate-no-mbox = { $path } is no mbox file and is left out.
migrate-over-quota = The mailbox holds { $used } now, more than its quota of { $limit }: it receives no new mail until the quota is raised.

# --- progress and reports ---

migrate-progress-accounts = { $count } rows, { $address }
migrate-progress-one = { $address }: { $text }
migrate-progress-many = { $ended } of { $count } mailboxes done. { $address }: { $text }
migrate-progress-signing-in = signing in to { $server }
migrate-progress-fetching = { $count } of { $wanted } messages fetched
migrate-progress-converting = reading { $count } mbox files
migrate-progress-reading = reading { $folder }
migrate-progress-delivering = delivering { $count } messages
migrate-line-refused = line { $line }, { $address }: { $reason }
migrate-columns-ignored = Columns that are not used: { $columns }
migrate-accounts-done = { $created } created, { $exists } existed, { $skipped } skipped, { $refused } refused.
migrate-dry-run-done = This was a dry run; nothing was changed.
migrate-report-written = Report, with generated passwords: { $path }
migrate-mailbox-complete = { $address }: complete. { $folders } folders, { $messages } messages ({ $size }) brought in { $seconds } s.
migrate-mailbox-incomplete = { $address }: not complete, { $problems } problems. { $folders } folders, { $messages } messages ({ $size }) brought in { $seconds } s.
migrate-column-folder = FOLDER
migrate-column-there = THERE
migrate-column-brought = BROUGHT
migrate-column-here = HERE
migrate-column-bytes = SIZE
migrate-column-address = ADDRESS
migrate-column-source = SOURCE
migrate-column-ended = ENDED
migrate-column-messages = MESSAGES
migrate-column-complete = COMPLETE
migrate-column-space = SPACE
migrate-cleaned = { $address }: removed.
migrate-nothing-to-clean = No migration into { $address } left anything.
migrate-clean-what = { $field }: give either one ADDRESS or --all
migrate-password-prompt = Password on the other server

# --- help ---

migrate-help = Bring accounts and mail from other systems. Run a command again to continue, or to bring what is new since.
migrate-accounts-help = Make accounts and aliases of a CSV or LDIF file. Existing ones stay as they are.
migrate-domain-help = Domain of names that have none.
migrate-create-domains-help = Create domains that are missing.
migrate-skip-help = Make no account whose password cannot be kept, instead of generating one.
migrate-dry-run-help = Check everything and change nothing.
migrate-accounts-report-help = File for the result of every row (CSV, or JSON by its suffix), readable by you alone. Default: below /var/lib/posthouse/migration.
migrate-encoding-help = Encoding of the file, such as big5. Default: UTF-8, else GB18030.
migrate-maildir-help = Bring the Maildir PATH with its folders into the mailbox ADDRESS.
migrate-mbox-help = Bring the mbox file PATH, or every one in the folder PATH, into the mailbox ADDRESS.
migrate-folder-help = Folder here for a single file. Default: INBOX.
migrate-tree-help = Bring many mailboxes that lie below PATH.
migrate-layout-help = Where each mailbox lies below PATH: maildir: or mbox:, then a path with {"{"}domain{"}"}, {"{"}local{"}"}, {"{"}address{"}"} and * in it.
migrate-parallel-help = Mailboxes at once.
migrate-exclude-help = Folder to leave out with those below it; may be repeated.
migrate-report-help = File for the report, in JSON.
migrate-imap-help = Bring whole mailboxes from another IMAP server; nothing is changed there. Asks for the password unless --password-stdin or --accounts is given.
migrate-server-help = The other server.
migrate-port-help = Its port. Default: 993 for imaps, else 143.
migrate-tls-help = How the connection is protected.
migrate-ca-help = Authorities to trust for its certificate.
migrate-insecure-help = Accept any certificate, and connections without TLS.
migrate-user-help = User name there. Default: ADDRESS.
migrate-password-stdin-help = Read the password from the first line of standard input.
migrate-list-help = CSV file with columns user, password and address: many mailboxes in one go.
migrate-status-help = List migrations, and the space they still take on the volume.
migrate-group-help = Service group.
migrate-clean-help = Remove what a finished migration into ADDRESS keeps for later runs. Brought mail stays.
migrate-clean-all-help = Of every mailbox.
