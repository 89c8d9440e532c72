# posthouse migrate: accounts and mail from other systems.

# --- accounts: what is wrong with a row ---

migrate-no-address = address：地址为空
migrate-no-domain = address：“{ $value }”没有域名；请用 --domain 指定
migrate-bad-quota = quota：“{ $value }”不是有效的容量，例如 500M、2G 或字节数
migrate-bad-status = status：无法识别“{ $value }”；请使用 active 或 disabled
migrate-deleted-there = status：该账户在原系统中已标记为删除
migrate-cell-too-long = { $column }：超过 { $maximum } 个字符
migrate-bad-csv = 该行不是格式正确的 CSV：{ $detail }
migrate-bad-ldif = 该条目不是格式正确的 LDIF：{ $detail }
migrate-ldif-change = 这是一条更改记录（{ $change }），不是条目
migrate-ldif-not-utf8 = { $attribute }：值不是 UTF-8
migrate-row-twice = address：{ $value } 已在第 { $first } 行出现

# --- accounts: what is wrong with a file ---

migrate-not-text = { $field }：第 { $line } 行含有零字节，这不是文本文件
migrate-not-decodable = { $field }：第 { $line } 行不是 { $encodings } 编码的文本；请用 --encoding 指定文件编码
migrate-unknown-encoding = { $field }：“{ $value }”不是已知的编码
migrate-no-address-column = { $field }：第一行必须是列名，其中要有“address”或“邮箱”；现在是：{ $heading }
migrate-column-twice = { $field }：有两列都表示 { $meaning }，第二列是“{ $column }”
migrate-file-too-large = { $field }：超过 { $maximum }；请拆分文件

# --- accounts: notes on a row ---

migrate-weak-hash = 其密码哈希（{ $scheme }）强度不足或格式不正确，没有保留。
migrate-no-password = 来源中没有密码。
migrate-forward-not-brought = 没有迁移到 { $targets } 的转发；请在邮箱的过滤规则中设置。

# --- mail: what stops a mailbox, or is left out ---

migrate-needs-root = 必须以 root 身份运行：此命令会读取他人的邮件。
migrate-inside-volume = { $field }：{ $path } 与本产品在 { $volume } 的数据重叠；请先把来源复制到别处
migrate-bad-folder = { $field }：“{ $value }”不是有效的文件夹名
migrate-group-not-here = 本节点没有挂载服务组 { $group } 的卷；请在拥有该卷的节点上运行。参见：posthouse status
migrate-busy = 另一个迁移到 { $address } 的任务正在进行。
migrate-orphan = 先前运行留下的进程 { $pid } 无法结束。
migrate-dovecot-unavailable = Dovecot 没有响应对 { $address } 的查询：{ $detail }。参见：posthouse status
migrate-dovecot-says = Dovecot 报告问题（{ $what }）：{ $detail }
migrate-no-space = 卷上剩余 { $free }，需要 { $needed }。
migrate-no-maildir = { $path } 中没有 Maildir：它及其子文件夹中都没有“cur”或“new”。
migrate-source-unreadable = 无法读取 { $path }：{ $detail }
migrate-folder-unreadable = 文件夹 { $folder } 未迁移：{ $detail }
migrate-file-unreadable = 文件 { $file } 未迁移：{ $detail }
migrate-link-not-followed = { $path } 是符号链接，未迁移。
migrate-no-message-file = { $path } 不是普通文件，未迁移。
migrate-file-of-somebody-else = { $path } 是指向他人文件的硬链接，未迁移。
migrate-mbox-busy = 读取期间 { $path } 一直在变化；请停止正在写入它的程序。
migrate-not-arrived = { $folder }：有 { $count } 封邮件未送达；请再次运行此命令。
migrate-tree-empty = { $path } 下没有符合 { $layout } 的内容。
migrate-layout-kind = { $field }：“{ $value }”必须以“maildir:”或“mbox:”开头
migrate-layout-address = { $field }：“{ $value }”必须含有 {"{"}local{"}"} 或 {"{"}address{"}"}，每个占位符只能出现一次
migrate-layout-domain = { $field }：“{ $value }”没有指明域；请加入 {"{"}domain{"}"} 或使用 --domain
migrate-layout-climbs = { $field }：“{ $value }”必须位于 PATH 之下：不能含“..”，不能以“/”开头

# --- mail: another IMAP server ---

migrate-login-refused = { $server } 拒绝 { $user } 登录：{ $detail }
migrate-certificate-refused = 不信任 { $server } 的证书：{ $detail }。请用 --ca 指定其颁发机构，或用 --insecure 接受任何证书。
migrate-no-tls = { $server } 没有按要求使用 TLS：{ $detail }。参见 --tls 和 --port。
migrate-server-unknown = server：找不到 { $server }：{ $detail }
migrate-server-unavailable = { $server } 没有响应：{ $detail }
migrate-clear-needs-insecure = { $field }：不使用 TLS 时，密码会以明文传送到 { $server }；如可接受，请加 --insecure
migrate-address-or-list = { $field }：请指定一个 ADDRESS，或使用 --accounts FILE
migrate-password-empty = { $field }：为空
migrate-control-character = { $field }：不允许使用控制字符
migrate-fetching-failed = 从 { $server } 获取邮件中断：{ $detail }。已取得的部分会保留；再次运行此命令即可继续。
migrate-count-differs = { $folder }：对方服务器有 { $there } 封邮件，已获取 { $fetched } 封；请再次运行此命令。
migrate-list-heading = { $field }：第一行必须有列名“user”和“password”，还可以有“address”；现在是：{ $heading }
migrate-list-empty = { $field }：为空
migrate-list-line = 列表第 { $line } 行：{ $reason }

# --- mail: notes ---

migrate-folder-renamed = 文件夹 { $folder } 在这里命名为 { $new }。
migrate-too-many-keywords = { $folder }：丢失了 { $count } 个关键字标记；一个文件夹最多 26 个。
migrate-no-mbox = { $path } 不是 mbox 文件，未迁移。
migrate-over-quota = 邮箱现在占用 { $used }，超过配额 { $limit }：在提高配额之前无法接收新邮件。

# --- progress and reports ---

migrate-progress-accounts = { $count } 行，{ $address }
migrate-progress-one = { $address }：{ $text }
migrate-progress-many = 已完成 { $ended }/{ $count } 个邮箱。{ $address }：{ $text }
migrate-progress-signing-in = 正在登录 { $server }
migrate-progress-fetching = 已获取 { $count }/{ $wanted } 封邮件
migrate-progress-converting = 正在读取 { $count } 个 mbox 文件
migrate-progress-reading = 正在读取 { $folder }
migrate-progress-delivering = 正在投递 { $count } 封邮件
migrate-line-refused = 第 { $line } 行，{ $address }：{ $reason }
migrate-columns-ignored = 未使用的列：{ $columns }
migrate-accounts-done = 创建 { $created }，已存在 { $exists }，跳过 { $skipped }，拒绝 { $refused }。
migrate-dry-run-done = 这是试运行，没有更改任何内容。
migrate-report-written = 报告（含生成的密码）：{ $path }
migrate-mailbox-complete = { $address }：已完成。{ $folders } 个文件夹，迁入 { $messages } 封邮件（{ $size }），用时 { $seconds } 秒。
migrate-mailbox-incomplete = { $address }：未完成，有 { $problems } 个问题。{ $folders } 个文件夹，迁入 { $messages } 封邮件（{ $size }），用时 { $seconds } 秒。
migrate-column-folder = 文件夹
migrate-column-there = 来源
migrate-column-brought = 本次迁入
migrate-column-here = 本地
migrate-column-bytes = 大小
migrate-column-address = 地址
migrate-column-source = 来源
migrate-column-ended = 结束时间
migrate-column-messages = 邮件数
migrate-column-complete = 已完成
migrate-column-space = 占用空间
migrate-cleaned = { $address }：已清除。
migrate-nothing-to-clean = 没有迁移到 { $address } 的遗留数据。
migrate-clean-what = { $field }：请指定一个 ADDRESS，或使用 --all
migrate-password-prompt = 对方服务器上的密码

# --- help ---

migrate-help = 从其他系统迁入账户和邮件。再次运行命令可以继续，或迁入其后的新内容。
migrate-accounts-help = 根据 CSV 或 LDIF 文件创建账户和别名。已存在的保持不变。
migrate-domain-help = 没有域名的账户所属的域。
migrate-create-domains-help = 创建缺少的域。
migrate-skip-help = 密码无法保留的账户不创建，而不是生成新密码。
migrate-dry-run-help = 只检查，不作任何更改。
migrate-accounts-report-help = 记录每行结果的文件（CSV，或按扩展名为 JSON），仅您可读。默认位于 /var/lib/posthouse/migration。
migrate-encoding-help = 文件的编码，例如 big5。默认：UTF-8，否则 GB18030。
migrate-maildir-help = 把 Maildir PATH 及其文件夹迁入邮箱 ADDRESS。
migrate-mbox-help = 把 mbox 文件 PATH（或文件夹 PATH 中的所有 mbox 文件）迁入邮箱 ADDRESS。
migrate-folder-help = 单个文件迁入的文件夹。默认：INBOX。
migrate-tree-help = 迁入 PATH 下的多个邮箱。
migrate-layout-help = 每个邮箱在 PATH 下的位置：maildir: 或 mbox:，其后是含 {"{"}domain{"}"}、{"{"}local{"}"}、{"{"}address{"}"} 和 * 的路径。
migrate-parallel-help = 同时处理的邮箱数。
migrate-exclude-help = 不迁移的文件夹（含其子文件夹）；可重复使用。
migrate-report-help = 报告文件（JSON）。
migrate-imap-help = 从其他 IMAP 服务器迁入整个邮箱，不更改对方内容。若未使用 --password-stdin 或 --accounts，则会询问密码。
migrate-server-help = 对方服务器。
migrate-port-help = 端口。默认：imaps 为 993，否则为 143。
migrate-tls-help = 连接的保护方式。
migrate-ca-help = 用于验证其证书的受信任机构。
migrate-insecure-help = 接受任何证书以及不使用 TLS 的连接。
migrate-user-help = 对方的用户名。默认：ADDRESS。
migrate-password-stdin-help = 从标准输入的第一行读取密码。
migrate-list-help = 含 user、password、address 列的 CSV 文件：一次迁移多个邮箱。
migrate-status-help = 列出迁移任务及其在卷上仍占用的空间。
migrate-group-help = 服务组。
migrate-clean-help = 清除迁移到 ADDRESS 的任务为后续运行保留的数据。已迁入的邮件不受影响。
migrate-clean-all-help = 清除所有邮箱的数据。
