# DNS: `posthouse dns`.

dns-help = DNS: what the domain name system has to say for mail to work.
dns-check-help =
    Compare the DNS records of DOMAIN with what this server needs, and print the records to enter.

    Asks this machine's resolvers, or the one named with --resolver. Ends with 0 when everything that mail needs is right, with 1 otherwise.
dns-resolver-help = Ask this resolver: IP, IP:PORT or [IPv6]:PORT.
dns-address-help = The address that the world sees this server by, when it is not one of its own (behind a router). May be repeated.
dns-hostname-help = The mail host name to check for, instead of this node's own.

dns-column-status = STATUS
dns-column-kind = RECORD
dns-column-name = NAME
dns-column-found = FOUND
dns-status-ok = ok
dns-status-missing = missing
dns-status-wrong = wrong
dns-status-unknown = unknown
dns-advice = { $status } (advice)
dns-asked = Asked: { $resolvers }
dns-verdict-good = { $domain }: the records for { $hostname } are right.
dns-verdict-bad = { $domain }: the records for { $hostname } are not right yet.
dns-to-enter = To enter or to mind, so that mail works:
dns-to-enter-advice = Recommended, so that mail programs find the server and receivers trust it:

dns-bad-resolver = resolver: "{ $value }" is neither IP, IP:PORT nor [IPv6]:PORT.
dns-bad-address = address: "{ $value }" is not an IP address.
dns-no-resolver-configured = No resolver is set up on this machine (/etc/resolv.conf). Name one with --resolver.
dns-no-answer = No resolver answers ({ $resolvers }). In a private network, name the resolver that knows your domains with --resolver.

dns-null-mx = The domain says that it takes no mail at all (null MX).
dns-mx-is-alias = { $hostname } is an alias (CNAME); a mail exchanger has to have an address of its own.
dns-mx-not-first = Mail goes to { $first } first; this server is only used when that one is away.
dns-only-private-addresses = This server has private addresses only. On the Internet, enter the address of your router, and name it with --address.
dns-other-addresses-too = The name has other addresses too ({ $addresses }); mail must reach this installation there as well.
dns-other-addresses = The name leads to { $addresses }, which is not this server. If a router passes mail on from there, name the address with --address.
dns-behind-a-router = The name leads to { $addresses }, as behind a router: ports 25, 465, 587, 143, 993, 110 and 995 have to be passed on from there.
dns-address-to-remove = This server has no address of this kind, but the name leads to { $addresses }: remove the record.
dns-ptr-by-provider = The provider of the address enters this record.
dns-spf-several = There is more than one SPF record; receivers then ignore them all. They are merged into one here.
dns-spf-open = The record lets everybody send in your name.
dns-spf-broken = The record is broken, or asks more than 10 questions: receivers ignore it. Mend or shorten it.
dns-spf-unclear = Whether the record lets this server send could not be found out.
dns-spf-not-allowed = The record does not let { $address } send ({ $verdict }).
dns-dmarc-several = There is more than one DMARC record; receivers then ignore them all.
dns-dmarc-no-policy = The record has no valid policy (p=none, p=quarantine or p=reject).
