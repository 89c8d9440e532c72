# 証明書: posthouse tls

tls-help = 証明書の表示と、SMTP・IMAP・POP3 用の独自証明書の設定。
tls-show-help = このノードの証明書を表示します。
tls-install-help =
    SMTP・IMAP・POP3 に独自の証明書を設定します。

    CERT と KEY は PEM ファイルです。CERT に中間証明書を含めることもできます。含めない場合は --chain で指定してください。メールサービスは数秒以内に新しい証明書を使い始め、接続は切れません。「posthouse tls rollback」で一つ前の証明書に戻せます。
tls-chain-help = 中間証明書を収めた PEM ファイル。
tls-issue-help = このシステムの認証局で新しいメール用証明書を発行し、現在の証明書と置き換えます。
tls-rollback-help = 一つ前のメール用証明書に戻します。

tls-column-name = 証明書
tls-column-names = 対象
tls-column-source = 発行元
tls-column-ends = 有効期限
tls-column-days = 残り日数
tls-source-authority = このシステム
tls-source-operator = 管理者が設定
tls-in-force = SMTP・IMAP・POP3 で使用中の証明書:

tls-nothing = { $path } に証明書がありません。まず「posthouse init」を実行してください。
tls-no-previous = 戻せる以前の証明書「{ $name }」がありません。
tls-cannot-write = { $path } に書き込めません。root で実行してください。
tls-authority-key-missing = このノードは認証局の秘密鍵（{ $path }）を保持していないため、証明書を発行できません。
tls-unreadable = { $field }: { $path } を読み込めません: { $detail }
tls-file-too-large = { $field }: ファイルが { $limit } バイトを超えており、証明書または鍵ではありません。
tls-not-a-certificate = { $field }: PEM 形式の証明書（「-----BEGIN CERTIFICATE-----」）が含まれていません: { $detail }
tls-not-a-key = key: 読み取れる PEM 形式の秘密鍵（「-----BEGIN PRIVATE KEY-----」）が含まれていません。
tls-key-is-encrypted = key: 秘密鍵がパスフレーズで保護されています。メールサービスは無人で起動する必要があるため、「openssl pkey -in KEY -out NEWKEY」で解除してください。
tls-key-of-another = key: 秘密鍵が証明書 { $subject } のものではありません。
tls-key-too-short = key: RSA 鍵は { $bits } ビットです。{ $limit } ビット以上が必要です。
tls-expired = cert: { $subject } は { $date } に期限が切れています。
tls-not-yet-valid = cert: { $subject } は { $date } まで有効になりません。
tls-weak-signature = cert: { $subject } の署名アルゴリズム { $algorithm } は、もはやどのクライアントにも信頼されません。
tls-not-for-servers = cert: { $subject } はサーバー用の証明書ではありません（拡張鍵用途）。

tls-name-not-covered = { $hostname } に接続するクライアントはこの証明書を拒否します。証明書の対象は { $names } です。
tls-ends-soon = { $subject } は { $date } に期限が切れます。早めに更新してください。
tls-uncommon-key = この種類の鍵（{ $kind }）に対応しないメールソフトが多くあります。RSA と ECDSA P-256・P-384 は広く対応しています。
tls-self-signed = { $subject } は自己署名証明書です。手動で信頼するまでメールソフトは警告を表示します。
tls-private-authority = { $issuer } は、メールソフトが標準で信頼する認証局ではありません。
tls-chain-incomplete = 発行者 { $issuer } の証明書がありません。--chain で中間証明書を指定しないと、多くのクライアントが検証できません。
tls-left-out = チェーンに属さない証明書は除外しました: { $subjects }
