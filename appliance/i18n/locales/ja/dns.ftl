# DNS: posthouse dns

dns-help = DNS: メールの送受信に必要なドメイン名の登録内容。
dns-check-help =
    DOMAIN の DNS レコードをこのサーバーに必要な内容と比べ、登録すべきレコードを表示します。

    このマシンのリゾルバー、または --resolver で指定したものに問い合わせます。メールに必要なものがすべて正しければ 0、そうでなければ 1 で終了します。
dns-resolver-help = 問い合わせるリゾルバー: IP、IP:ポート、[IPv6]:ポート。
dns-address-help = 外部から見たこのサーバーのアドレス（ルーターの内側にあり、自身のアドレスと異なる場合）。繰り返し指定できます。
dns-hostname-help = このノードの名前の代わりに調べるメールホスト名。

dns-column-status = 状態
dns-column-kind = レコード
dns-column-name = 名前
dns-column-found = 現在の内容
dns-status-ok = 正常
dns-status-missing = なし
dns-status-wrong = 誤り
dns-status-unknown = 不明
dns-advice = { $status }（推奨）
dns-asked = 問い合わせ先: { $resolvers }
dns-verdict-good = { $domain }: { $hostname } のレコードは正しく登録されています。
dns-verdict-bad = { $domain }: { $hostname } のレコードはまだ正しくありません。
dns-to-enter = メールのために登録または確認が必要なもの:
dns-to-enter-advice = メールソフトがサーバーを自動で見つけ、受信側に信頼されるために推奨するもの:

dns-bad-resolver = resolver: 「{ $value }」は IP、IP:ポート、[IPv6]:ポート のいずれでもありません。
dns-bad-address = address: 「{ $value }」は IP アドレスではありません。
dns-no-resolver-configured = このマシンにはリゾルバーが設定されていません（/etc/resolv.conf）。--resolver で指定してください。
dns-no-answer = どのリゾルバーも応答しません（{ $resolvers }）。プライベートネットワークでは、そのドメインを知るリゾルバーを --resolver で指定してください。

dns-null-mx = このドメインはメールを一切受け取らないと宣言しています（null MX）。
dns-mx-is-alias = { $hostname } は別名（CNAME）です。メール交換ホストは自身のアドレスを持つ必要があります。
dns-mx-not-first = メールはまず { $first } に届き、このサーバーはそれが使えないときだけ使われます。
dns-only-private-addresses = このサーバーにはプライベートアドレスしかありません。インターネットで使う場合はルーターのアドレスを登録し、--address で指定してください。
dns-other-addresses-too = この名前には他のアドレス（{ $addresses }）もあります。そこに届くメールもこのシステムに届く必要があります。
dns-other-addresses = この名前は { $addresses } を指していますが、このサーバーではありません。ルーターがそこからメールを転送している場合は、そのアドレスを --address で指定してください。
dns-behind-a-router = この名前は { $addresses } を指しており、ルーターの内側にあるようです。ポート 25、465、587、143、993、110、995 をそこから転送する必要があります。
dns-address-to-remove = このサーバーにはこの種類のアドレスがありませんが、この名前は { $addresses } を指しています。レコードを削除してください。
dns-ptr-by-provider = このレコードはアドレスの提供事業者が登録します。
dns-spf-several = SPF レコードが複数あるため、受信側はすべて無視します。ここでは一つにまとめてあります。
dns-spf-open = このレコードは誰にでもあなたの名前での送信を許しています。
dns-spf-broken = このレコードは壊れているか、問い合わせが 10 回を超えるため、受信側に無視されます。修正または短縮してください。
dns-spf-unclear = このレコードがこのサーバーの送信を許しているかどうかを判断できませんでした。
dns-spf-not-allowed = このレコードは { $address } の送信を許していません（{ $verdict }）。
dns-dmarc-several = DMARC レコードが複数あるため、受信側はすべて無視します。
dns-dmarc-no-policy = このレコードには有効なポリシー（p=none、p=quarantine、p=reject）がありません。
