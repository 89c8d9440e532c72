# 目录：域名、邮箱、别名。

directory-unavailable = 目录服务没有响应：{ $detail }。无法确认是否有任何更改，请稍后重试。
directory-refused = 目录服务拒绝了操作：{ $detail }
directory-not-allowed = 当前账户无权管理目录，请以 root 身份运行此命令。目录服务的回答：{ $detail }
directory-seed-failed = 无法载入目录的初始条目：{ $detail }
