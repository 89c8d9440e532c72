# 节点文件与协调存储

node-file-missing = 本服务器尚未初始化：{ $path } 不存在。请先运行 “posthouse init”。
node-file-unreadable = 无法读取 { $path }：{ $detail }
node-file-not-yaml = { $path } 不是有效的 YAML：{ $detail }
node-file-not-a-mapping = { $path } 的内容必须由以下字段组成：name、hostname、roles、store。
node-file-bad-field = { $path } 的字段 { $field } 有误：{ $detail }

store-no-answer = 协调存储（{ $endpoints }）在 { $seconds } 秒内没有应答：{ $detail }
store-unreachable = 在 { $seconds } 秒内无法连接协调存储（{ $endpoints }）：{ $detail }
store-refused = 协调存储（{ $endpoints }）拒绝了请求：{ $detail }
store-full = 协调存储（{ $endpoints }）已达到容量上限，不再接受写入：{ $detail }
store-closed = 与协调存储的连接已关闭。
store-compacted = 协调存储的版本 { $revision } 已被清理，监视者需要重新读取全部数据。
store-keys-unreadable = 无法读取访问协调存储的密钥（{ $path }：{ $detail }）。请以 root 身份运行该命令。
join-token-refused = 加入令牌不存在、已被使用或已过期；请在集群中的一台服务器上重新生成。
join-token-lifetime = 加入令牌的有效期必须大于零，且不超过 { $days } 天。

hostname-malformed = “{ $value }” 不是主机名：{ $detail }
hostname-too-long = “{ $value }” 太长：主机名最多 { $limit } 个字符。
hostname-label-too-long = “{ $value }” 中有一段太长：两个点之间最多 { $limit } 个字符。
hostname-unqualified = “{ $value }” 不是完整域名：邮件主机名应形如 mail.example.com。
hostname-is-address = “{ $value }” 是一个地址；此处需要形如 mail.example.com 的主机名。
endpoint-malformed = “{ $value }” 不符合 https://主机:端口 的格式。
endpoints-mixed = 多个端点必须是同一类 IP 地址，全部为 IPv4 或全部为 IPv6：{ $value }

no-such-account = 本服务器上没有用户或组 “{ $name }”；提供它的软件包是否已安装？
folder-is-no-folder = { $path } 应为文件夹，但现在是其他类型的文件；请将其移走。
folder-behind-a-link = { $path } 是不属于 root 的符号链接，系统不会跟随它。
no-previous-generation = { $folder } 中没有可以恢复的旧配置。
