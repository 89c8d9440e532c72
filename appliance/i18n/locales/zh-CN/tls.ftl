# 证书：posthouse tls

tls-help = 证书：查看证书，或为 SMTP、IMAP 和 POP3 安装您自己的证书。
tls-show-help = 显示本节点的证书。
tls-install-help =
    为 SMTP、IMAP 和 POP3 安装您自己的证书。

    CERT 与 KEY 为 PEM 文件。CERT 中可以同时包含中间证书，否则请用 --chain 指定。邮件服务会在数秒内启用新证书，不会中断任何连接。“posthouse tls rollback” 可恢复上一个证书。
tls-chain-help = 包含中间证书的 PEM 文件。
tls-issue-help = 由本系统自带的证书颁发机构签发新的邮件证书，替换当前证书。
tls-rollback-help = 恢复上一个邮件证书。

tls-column-name = 证书
tls-column-names = 适用于
tls-column-source = 来源
tls-column-ends = 有效期至
tls-column-days = 剩余天数
tls-source-authority = 本系统签发
tls-source-operator = 管理员安装
tls-in-force = SMTP、IMAP 和 POP3 当前使用：

tls-nothing = { $path } 中没有证书。请先运行 “posthouse init”。
tls-no-previous = 没有可以恢复的旧证书 “{ $name }”。
tls-cannot-write = 无法写入 { $path }。请以 root 身份运行该命令。
tls-authority-key-missing = 本节点未保存证书颁发机构的私钥（{ $path }），因此无法签发证书。
tls-unreadable = { $field }：无法读取 { $path }：{ $detail }
tls-file-too-large = { $field }：文件超过 { $limit } 字节，不是证书或私钥。
tls-not-a-certificate = { $field }：文件中没有 PEM 格式的证书（“-----BEGIN CERTIFICATE-----”）：{ $detail }
tls-not-a-key = key：文件中没有可读取的 PEM 格式私钥（“-----BEGIN PRIVATE KEY-----”）。
tls-key-is-encrypted = key：私钥带有口令保护，而邮件服务必须能够无人值守启动；请用 “openssl pkey -in KEY -out NEWKEY” 去除口令。
tls-key-of-another = key：私钥与证书 { $subject } 不匹配。
tls-key-too-short = key：RSA 密钥长度为 { $bits } 位，至少需要 { $limit } 位。
tls-expired = cert：{ $subject } 已于 { $date } 过期。
tls-not-yet-valid = cert：{ $subject } 在 { $date } 之前尚未生效。
tls-weak-signature = cert：{ $subject } 使用 { $algorithm } 签名，客户端已不再信任该算法。
tls-not-for-servers = cert：{ $subject } 不能用于服务器（扩展密钥用途不符）。

tls-name-not-covered = 连接 { $hostname } 的客户端会拒绝该证书：它只适用于 { $names }。
tls-ends-soon = { $subject } 将于 { $date } 到期，请尽快更新。
tls-uncommon-key = 许多邮件程序不支持此类密钥（{ $kind }）；RSA 以及 ECDSA P-256 或 P-384 则普遍支持。
tls-self-signed = { $subject } 是自签名证书：在手动信任之前，邮件程序会发出警告。
tls-private-authority = 邮件程序默认不信任颁发机构 { $issuer }。
tls-chain-incomplete = 缺少颁发者 { $issuer } 的证书：请用 --chain 提供中间证书，否则许多客户端无法验证。
tls-left-out = 以下证书不属于证书链，已被忽略：{ $subjects }
