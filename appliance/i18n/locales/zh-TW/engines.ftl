# 引擎告訴使用者的話：投遞到信箱裡的通知。

quota-notice-sender = 郵件系統

quota-notice-warning =
    您的信箱 { $address } 已使用其空間（{ $quota }）的 { $percent }%。

    空間用滿後，寄給您的新郵件將遭拒收，並會通知寄件者。請刪除不再需要的郵件，並清空「Trash」（垃圾桶）資料夾。
    .subject = 您的信箱已使用 { $percent }%

quota-notice-full =
    您的信箱 { $address } 的空間（{ $quota }）已經用完。

    在騰出空間之前，寄給您的新郵件將遭拒收，並會通知寄件者。請刪除不再需要的郵件，並清空「Trash」（垃圾桶）資料夾。
    .subject = 您的信箱空間已滿
domain-copy-failed = 無法為 Postfix 產生網域名稱副本：{ $problem }
edge-address-of-group = edge.addresses：{ $address } 是服務群組 { $group } 的位址；邊緣不使用它
