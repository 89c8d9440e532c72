# Errors of the shared vocabulary and of the parts that every area uses.

bad-group-name = group：“{ $value }”不是有效的服务组名，应为 1 到 15 个小写字母或数字，且以字母开头
bad-node-name = node：“{ $value }”不是有效的节点名，应为 1 到 63 个小写字母、数字或中间的连字符
bad-instance-name = instance：“{ $value }”不符合“引擎@服务组”的格式，例如 postfix@mail
configuration-refused = { $instance } 拒绝新配置，继续使用现行配置。检查程序的说明：{ $detail }
probe-failed = 健康检查 { $probe } 失败：{ $detail }

output-json = 输出供程序读取的 JSON，而不是供人阅读的文本。
output-nothing = 没有可显示的内容。
output-yes = 是
output-no = 否
