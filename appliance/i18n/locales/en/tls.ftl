# Certificates: `posthouse tls`, and what the node says about its own.

tls-help = Certificates: show them, and install your own for SMTP, IMAP and POP3.
tls-show-help = Show this node's certificates.
tls-install-help =
    Install your own certificate for SMTP, IMAP and POP3.

    CERT and KEY are PEM files. CERT may hold the intermediate certificates too; otherwise give them with --chain. The mail services take the new certificate within seconds, and no connection is ended. "posthouse tls rollback" brings the one before it back.
tls-chain-help = PEM file with the intermediate certificates.
tls-issue-help = Issue a new mail certificate by the installation's own authority, in place of the one in force.
tls-rollback-help = Put the previous mail certificate in force again.

tls-column-name = CERTIFICATE
tls-column-names = FOR
tls-column-source = FROM
tls-column-ends = VALID UNTIL
tls-column-days = DAYS LEFT
tls-source-authority = this installation
tls-source-operator = operator
tls-in-force = In force for SMTP, IMAP and POP3:

tls-nothing = There are no certificates in { $path }. Run "posthouse init" first.
tls-no-previous = There is no earlier certificate "{ $name }" to go back to.
tls-cannot-write = { $path } cannot be written. Run the command as root.
tls-authority-key-missing = This node does not keep the key of the installation's authority ({ $path }), so it cannot issue certificates.
tls-unreadable = { $field }: { $path } cannot be read: { $detail }
tls-file-too-large = { $field }: the file has more than { $limit } bytes and is no certificate or key.
tls-not-a-certificate = { $field }: the file holds no certificate in PEM form ("-----BEGIN CERTIFICATE-----"): { $detail }
tls-not-a-key = key: the file holds no private key in PEM form that can be read ("-----BEGIN PRIVATE KEY-----").
tls-key-is-encrypted = key: the private key is protected by a passphrase. The mail services have to start unattended; remove it with "openssl pkey -in KEY -out NEWKEY".
tls-key-of-another = key: the private key does not belong to the certificate { $subject }.
tls-key-too-short = key: the RSA key has { $bits } bits; at least { $limit } are needed.
tls-expired = cert: { $subject } ended on { $date }.
tls-not-yet-valid = cert: { $subject } is not valid before { $date }.
tls-weak-signature = cert: { $subject } is signed with { $algorithm }, which no client trusts any more.
tls-not-for-servers = cert: { $subject } is not meant for servers (extended key usage).

tls-name-not-covered = Clients that connect to { $hostname } will refuse it: the certificate is for { $names }.
tls-ends-soon = { $subject } ends on { $date }: renew it soon.
tls-uncommon-key = Keys of this kind ({ $kind }) are unknown to many mail programs; RSA and ECDSA P-256 or P-384 are known to all.
tls-self-signed = { $subject } is self-signed: mail programs will warn until it is trusted by hand.
tls-private-authority = { $issuer } is not an authority that mail programs trust by themselves.
tls-chain-incomplete = The certificate of the issuer { $issuer } is missing: give the intermediate certificates with --chain, or many clients cannot verify it.
tls-left-out = Certificates that do not belong to the chain were left out: { $subjects }
