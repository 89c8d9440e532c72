# エンジンから利用者への文章：メールボックスに届く通知。

quota-notice-sender = メールシステム

quota-notice-warning =
    メールボックス { $address } の使用量が、容量（{ $quota }）の { $percent }% に達しました。

    容量がいっぱいになると、新しいメールは受信できなくなり、送信者にその旨が通知されます。
    不要なメールを削除し、「Trash」（ゴミ箱）フォルダーを空にしてください。
    .subject = メールボックスの使用量が { $percent }% に達しました

quota-notice-full =
    メールボックス { $address } の容量（{ $quota }）を使い切りました。

    空きができるまで、新しいメールは受信できず、送信者にその旨が通知されます。
    不要なメールを削除し、「Trash」（ゴミ箱）フォルダーを空にしてください。
    .subject = メールボックスの容量がいっぱいです
domain-copy-failed = Postfix 用のドメイン名のコピーを作成できませんでした: { $problem }
edge-address-of-group = edge.addresses：{ $address } はグループ { $group } のアドレスです。エッジは使いません
