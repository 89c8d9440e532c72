# DNS：posthouse dns

dns-help = DNS：讓郵件正常收發所需的網域名稱記錄。
dns-check-help =
    將 DOMAIN 的 DNS 記錄與本伺服器的需求比較，並列出應填寫的記錄。

    查詢本機設定的解析器，或 --resolver 指定的解析器。郵件所需記錄全部正確時以 0 結束，否則以 1 結束。
dns-resolver-help = 使用此解析器：IP、IP:連接埠 或 [IPv6]:連接埠。
dns-address-help = 外界看到的本伺服器位址（位於路由器之後、與本機位址不同時使用）。可重複指定。
dns-hostname-help = 要檢查的郵件主機名稱，預設為本節點的主機名稱。

dns-column-status = 狀態
dns-column-kind = 記錄
dns-column-name = 名稱
dns-column-found = 查詢結果
dns-status-ok = 正確
dns-status-missing = 缺少
dns-status-wrong = 有誤
dns-status-unknown = 未知
dns-advice = { $status }（建議）
dns-asked = 查詢的解析器：{ $resolvers }
dns-verdict-good = { $domain }：{ $hostname } 的記錄全部正確。
dns-verdict-bad = { $domain }：{ $hostname } 的記錄尚不完整或有誤。
dns-to-enter = 為使郵件正常運作，請填寫或留意：
dns-to-enter-advice = 建議填寫，讓郵件程式自動找到伺服器，並提高收件方的信任：

dns-bad-resolver = resolver：「{ $value }」不是 IP、IP:連接埠 或 [IPv6]:連接埠。
dns-bad-address = address：「{ $value }」不是 IP 位址。
dns-no-resolver-configured = 本機沒有設定解析器（/etc/resolv.conf）。請以 --resolver 指定。
dns-no-answer = 沒有解析器回應（{ $resolvers }）。在內部網路中，請以 --resolver 指定能解析您網域的解析器。

dns-null-mx = 此網域宣告完全不接收郵件（空 MX）。
dns-mx-is-alias = { $hostname } 是別名（CNAME）；郵件交換主機必須直接擁有位址。
dns-mx-not-first = 郵件會先送到 { $first }；只有它無法使用時才會使用本伺服器。
dns-only-private-addresses = 本伺服器只有私有位址。在網際網路上使用時，請填寫路由器的公用位址，並以 --address 指定。
dns-other-addresses-too = 此主機名稱還有其他位址（{ $addresses }）；寄往這些位址的郵件也必須能到達本系統。
dns-other-addresses = 此主機名稱指向 { $addresses }，而它不是本伺服器。如果有路由器從該位址轉送郵件，請以 --address 指定該位址。
dns-behind-a-router = 此主機名稱指向 { $addresses }，看來位於路由器之後：必須從該位址轉送連接埠 25、465、587、143、993、110 與 995。
dns-address-to-remove = 本伺服器沒有此類位址，但該主機名稱指向 { $addresses }：請刪除該記錄。
dns-ptr-by-provider = 此記錄由 IP 位址的供應商設定。
dns-spf-several = 有多筆 SPF 記錄，收件方會全部忽略。此處已合併為一筆。
dns-spf-open = 此記錄允許任何人以您的名義寄信。
dns-spf-broken = 此記錄格式有誤或查詢次數超過 10 次，收件方會忽略它。請修正或精簡。
dns-spf-unclear = 無法判斷此記錄是否允許本伺服器寄信。
dns-spf-not-allowed = 此記錄不允許 { $address } 寄信（{ $verdict }）。
dns-dmarc-several = 有多筆 DMARC 記錄，收件方會全部忽略。
dns-dmarc-no-policy = 此記錄沒有有效的政策（p=none、p=quarantine 或 p=reject）。
