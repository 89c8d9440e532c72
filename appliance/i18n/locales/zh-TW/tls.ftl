# 憑證：posthouse tls

tls-help = 憑證：檢視憑證，或為 SMTP、IMAP 與 POP3 安裝您自己的憑證。
tls-show-help = 顯示本節點的憑證。
tls-install-help =
    為 SMTP、IMAP 與 POP3 安裝您自己的憑證。

    CERT 與 KEY 為 PEM 檔案。CERT 可同時包含中繼憑證，否則請以 --chain 指定。郵件服務會在數秒內啟用新憑證，不會中斷任何連線。「posthouse tls rollback」可還原上一個憑證。
tls-chain-help = 包含中繼憑證的 PEM 檔案。
tls-issue-help = 由本系統自有的憑證授權單位簽發新的郵件憑證，取代目前的憑證。
tls-rollback-help = 還原上一個郵件憑證。

tls-column-name = 憑證
tls-column-names = 適用於
tls-column-source = 來源
tls-column-ends = 有效期限
tls-column-days = 剩餘天數
tls-source-authority = 本系統簽發
tls-source-operator = 管理員安裝
tls-in-force = SMTP、IMAP 與 POP3 目前使用：

tls-nothing = { $path } 中沒有憑證。請先執行「posthouse init」。
tls-no-previous = 沒有可還原的舊憑證「{ $name }」。
tls-cannot-write = 無法寫入 { $path }。請以 root 身分執行此命令。
tls-authority-key-missing = 本節點未保存憑證授權單位的私密金鑰（{ $path }），因此無法簽發憑證。
tls-unreadable = { $field }：無法讀取 { $path }：{ $detail }
tls-file-too-large = { $field }：檔案超過 { $limit } 位元組，不是憑證或金鑰。
tls-not-a-certificate = { $field }：檔案中沒有 PEM 格式的憑證（「-----BEGIN CERTIFICATE-----」）：{ $detail }
tls-not-a-key = key：檔案中沒有可讀取的 PEM 格式私密金鑰（「-----BEGIN PRIVATE KEY-----」）。
tls-key-is-encrypted = key：私密金鑰受通行碼保護，但郵件服務必須能夠無人值守啟動；請以「openssl pkey -in KEY -out NEWKEY」移除通行碼。
tls-key-of-another = key：私密金鑰與憑證 { $subject } 不相符。
tls-key-too-short = key：RSA 金鑰長度為 { $bits } 位元，至少需要 { $limit } 位元。
tls-expired = cert：{ $subject } 已於 { $date } 到期。
tls-not-yet-valid = cert：{ $subject } 在 { $date } 之前尚未生效。
tls-weak-signature = cert：{ $subject } 以 { $algorithm } 簽署，用戶端已不再信任此演算法。
tls-not-for-servers = cert：{ $subject } 不能用於伺服器（延伸金鑰使用方法不符）。

tls-name-not-covered = 連線到 { $hostname } 的用戶端會拒絕此憑證：它只適用於 { $names }。
tls-ends-soon = { $subject } 將於 { $date } 到期，請儘快更新。
tls-uncommon-key = 許多郵件程式不支援此類金鑰（{ $kind }）；RSA 以及 ECDSA P-256 或 P-384 則普遍支援。
tls-self-signed = { $subject } 是自簽憑證：在手動信任之前，郵件程式會發出警告。
tls-private-authority = 郵件程式預設不信任授權單位 { $issuer }。
tls-chain-incomplete = 缺少簽發者 { $issuer } 的憑證：請以 --chain 提供中繼憑證，否則許多用戶端無法驗證。
tls-left-out = 下列憑證不屬於憑證鏈，已略過：{ $subjects }
