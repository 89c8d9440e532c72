init-help = Make this server a Posthouse node and wait until mail works. Running it again is harmless.
init-hostname-help = Fully qualified name that mail servers and clients see, such as mail.example.com. Default: the system's own.
init-name-help = Short name of this node. Default: the first label of the host name.
init-answers-help = YAML file with answers (hostname, name) for unattended use.
init-yes-help = Do not ask for confirmation.
init-confirm = Make this server the mail server { $hostname }?
init-needs-yes = posthouse init asks before it begins, and here nobody can answer: confirm with --yes.
init-done = Mail works on { $hostname }. Next: posthouse domain create DOMAIN
init-step-accounts = accounts with fixed ids
init-step-default-units = Debian's default mail services masked
init-step-identity = identity of this node
init-step-keys = certificate authority and keys
init-step-units = keeper and agent started
init-step-sendmail = the system's sendmail uses this mail server
init-step-desired = desired state in the store
init-busy = Another posthouse init is at work on this server. Wait until it has ended.
init-not-ready =
    This server cannot become a node yet; nothing was changed:
    { $findings }
init-needs-root = posthouse init must be run as root.
init-needs-debian-12 = Debian 12 is needed; this is { $found }.
init-needs-systemd = systemd must be running as the system's init.
init-needs-time-source = No time service runs. Start one: systemctl enable --now chrony
init-foreign-configuration = { $what } holds a mail system of somebody's own. Posthouse leaves it alone: use a fresh server, or remove that configuration if it is not needed.
init-port-busy = Port { $port } is used by another program. See: ss -ltnp 'sport = :{ $port }'
init-answers-not-yaml = The answer file is not YAML: { $detail }
init-answers-bad-field = The answer file's { $field } is not accepted: { $detail }
init-bad-hostname =
    { $field }: { $detail }
    Give one with --hostname mail.example.com
init-identity-is-set = { $field } of this node is { $old } and is not changed to { $value } by init.
init-not-healthy =
    The node is set up, but not everything runs yet:
    { $reasons }
    Watch it with: posthouse status
init-systemctl-failed = systemctl { $command } failed: { $detail }
gid-taken = Group id { $gid } is needed for { $group } but belongs to { $holder }. Renumber { $holder } first; these ids must be the same on every node.
uid-taken = User id { $uid } is needed for { $user } but belongs to { $holder }. Renumber { $holder } first; these ids must be the same on every node.
