# DNS：posthouse dns

dns-help = DNS：让邮件正常收发所需的域名解析记录。
dns-check-help =
    将 DOMAIN 的 DNS 记录与本服务器的需要进行比较，并给出应填写的记录。

    查询本机配置的解析器，或 --resolver 指定的解析器。邮件所需记录全部正确时以 0 退出，否则以 1 退出。
dns-resolver-help = 使用该解析器：IP、IP:端口 或 [IPv6]:端口。
dns-address-help = 外界看到的本服务器地址（位于路由器之后、与本机地址不同时使用）。可重复指定。
dns-hostname-help = 要检查的邮件主机名，默认为本节点的主机名。

dns-column-status = 状态
dns-column-kind = 记录
dns-column-name = 名称
dns-column-found = 查询结果
dns-status-ok = 正确
dns-status-missing = 缺少
dns-status-wrong = 有误
dns-status-unknown = 未知
dns-advice = { $status }（建议）
dns-asked = 查询的解析器：{ $resolvers }
dns-verdict-good = { $domain }：{ $hostname } 的记录全部正确。
dns-verdict-bad = { $domain }：{ $hostname } 的记录尚不完整或有误。
dns-to-enter = 为使邮件正常工作，请填写或注意：
dns-to-enter-advice = 建议填写，便于邮件程序自动找到服务器，并提高收件方的信任度：

dns-bad-resolver = resolver：“{ $value }” 不是 IP、IP:端口 或 [IPv6]:端口。
dns-bad-address = address：“{ $value }” 不是 IP 地址。
dns-no-resolver-configured = 本机没有配置解析器（/etc/resolv.conf）。请用 --resolver 指定。
dns-no-answer = 没有解析器应答（{ $resolvers }）。在内部网络中，请用 --resolver 指定能够解析您域名的解析器。

dns-null-mx = 该域名声明完全不接收邮件（空 MX）。
dns-mx-is-alias = { $hostname } 是别名（CNAME）；邮件交换主机必须直接拥有地址。
dns-mx-not-first = 邮件会先送到 { $first }；只有它不可用时才会使用本服务器。
dns-only-private-addresses = 本服务器只有私有地址。在互联网上使用时，请填写路由器的公网地址，并用 --address 指定。
dns-other-addresses-too = 该主机名还有其他地址（{ $addresses }）；发往这些地址的邮件也必须能到达本系统。
dns-other-addresses = 该主机名指向 { $addresses }，而它不是本服务器。如果有路由器从该地址转发邮件，请用 --address 指定该地址。
dns-behind-a-router = 该主机名指向 { $addresses }，看起来位于路由器之后：需要从该地址转发端口 25、465、587、143、993、110 和 995。
dns-address-to-remove = 本服务器没有此类地址，但该主机名指向 { $addresses }：请删除该记录。
dns-ptr-by-provider = 此记录由 IP 地址的提供商设置。
dns-spf-several = 存在多条 SPF 记录，收件方会全部忽略。此处已合并为一条。
dns-spf-open = 该记录允许任何人以您的名义发信。
dns-spf-broken = 该记录格式有误或查询次数超过 10 次，收件方会忽略它。请修正或精简。
dns-spf-unclear = 无法判断该记录是否允许本服务器发信。
dns-spf-not-allowed = 该记录不允许 { $address } 发信（{ $verdict }）。
dns-dmarc-several = 存在多条 DMARC 记录，收件方会全部忽略。
dns-dmarc-no-policy = 该记录没有有效的策略（p=none、p=quarantine 或 p=reject）。
