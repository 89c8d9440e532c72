init-help = 把本服务器设为 Posthouse 节点，并等待邮件服务就绪。重复运行没有副作用。
init-hostname-help = 邮件服务器和客户端看到的完整主机名，例如 mail.example.com。默认取系统主机名。
init-name-help = 本节点的短名称。默认取主机名的第一段。
init-answers-help = 用于无人值守安装的 YAML 应答文件（hostname、name）。
init-yes-help = 不询问确认。
init-confirm = 把本服务器设为邮件服务器 { $hostname } 吗？
init-needs-yes = posthouse init 在开始前会询问，而此处无人可以回答：请用 --yes 确认。
init-done = { $hostname } 的邮件服务已就绪。下一步：posthouse domain create 域名
init-step-accounts = 固定编号的系统账户
init-step-default-units = 屏蔽 Debian 默认的邮件服务
init-step-identity = 本节点的身份文件
init-step-keys = 证书颁发机构和密钥
init-step-units = 启动 keeper 和代理
init-step-sendmail = 系统的 sendmail 使用本邮件服务器
init-step-desired = 写入期望状态
init-busy = 本服务器上正在运行另一个 posthouse init，请等它结束。
init-not-ready =
    本服务器暂时不能成为节点，未做任何更改：
    { $findings }
init-needs-root = posthouse init 必须以 root 身份运行。
init-needs-debian-12 = 需要 Debian 12，当前系统是 { $found }。
init-needs-systemd = 系统必须由 systemd 作为 init 运行。
init-needs-time-source = 没有运行时间同步服务。请启动：systemctl enable --now chrony
init-foreign-configuration = { $what } 含有他人配置的邮件系统，Posthouse 不会改动它。请使用全新的服务器，或在确认不需要后移除该配置。
init-port-busy = 端口 { $port } 已被其他程序占用。查看：ss -ltnp 'sport = :{ $port }'
init-answers-not-yaml = 应答文件不是有效的 YAML：{ $detail }
init-answers-bad-field = 应答文件中的 { $field } 无效：{ $detail }
init-bad-hostname =
    { $field }：{ $detail }
    请用 --hostname mail.example.com 指定
init-identity-is-set = 本节点的 { $field } 已是 { $old }，init 不会改为 { $value }。
init-not-healthy =
    节点已设置，但并非所有服务都已就绪：
    { $reasons }
    请用 posthouse status 查看进展
init-systemctl-failed = systemctl { $command } 失败：{ $detail }
gid-taken = 组号 { $gid } 需要分配给 { $group }，但已属于 { $holder }。请先更改 { $holder } 的编号；所有节点的编号必须一致。
uid-taken = 用户编号 { $uid } 需要分配给 { $user }，但已属于 { $holder }。请先更改 { $holder } 的编号；所有节点的编号必须一致。
