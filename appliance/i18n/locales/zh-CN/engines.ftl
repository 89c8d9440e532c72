# 引擎告诉用户的话：投递到邮箱里的通知。

quota-notice-sender = 邮件系统

quota-notice-warning =
    您的邮箱 { $address } 已使用其空间（{ $quota }）的 { $percent }%。

    空间用满后，发给您的新邮件将被拒收，并会通知发件人。请删除不再需要的邮件，并清空“Trash”（已删除邮件）文件夹。
    .subject = 您的邮箱已使用 { $percent }%

quota-notice-full =
    您的邮箱 { $address } 的空间（{ $quota }）已经用完。

    在腾出空间之前，发给您的新邮件将被拒收，并会通知发件人。请删除不再需要的邮件，并清空“Trash”（已删除邮件）文件夹。
    .subject = 您的邮箱空间已满
domain-copy-failed = 无法为 Postfix 生成域名副本：{ $problem }
edge-address-of-group = edge.addresses：{ $address } 是服务组 { $group } 的地址；边缘不使用它
