# Errors of the shared vocabulary and of the parts that every area uses.

bad-group-name = group：「{ $value }」はサービスグループ名として使えません。英小文字と数字 1～15 文字で、先頭は英字にしてください
bad-node-name = node：「{ $value }」はノード名として使えません。英小文字・数字・途中のハイフンからなる 1～63 文字にしてください
bad-instance-name = instance：「{ $value }」は「エンジン@グループ」の形式ではありません（例：postfix@mail）
configuration-refused = { $instance } が新しい設定を拒否したため、現在の設定を使い続けます。検査プログラムの出力：{ $detail }
probe-failed = ヘルスチェック { $probe } に失敗しました：{ $detail }

output-json = 人が読むテキストの代わりに、プログラム向けの JSON を出力します。
output-nothing = 表示するものはありません。
output-yes = はい
output-no = いいえ
