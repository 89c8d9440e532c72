# ノードファイルと協調ストア

node-file-missing = このサーバーはまだ初期設定されていません。{ $path } がありません。まず「posthouse init」を実行してください。
node-file-unreadable = { $path } を読み込めません: { $detail }
node-file-not-yaml = { $path } は正しい YAML ではありません: { $detail }
node-file-not-a-mapping = { $path } には name、hostname、roles、store の各項目が必要です。
node-file-bad-field = { $path } の項目 { $field } が正しくありません: { $detail }

store-no-answer = 協調ストア（{ $endpoints }）が { $seconds } 秒以内に応答しませんでした: { $detail }
store-unreachable = { $seconds } 秒以内に協調ストア（{ $endpoints }）へ接続できませんでした: { $detail }
store-refused = 協調ストア（{ $endpoints }）が要求を拒否しました: { $detail }
store-full = 協調ストア（{ $endpoints }）が容量の上限に達し、書き込みを受け付けません: { $detail }
store-closed = 協調ストアへの接続は閉じられています。
store-compacted = 協調ストアのリビジョン { $revision } は既に破棄されています。監視側は全データを読み直す必要があります。
store-keys-unreadable = 協調ストア用の鍵を読み込めません（{ $path }: { $detail }）。root で実行してください。
join-token-refused = 参加トークンが存在しないか、使用済みか、期限切れです。クラスターのサーバーで新しく発行してください。
join-token-lifetime = 参加トークンの有効期間は 0 より長く、{ $days } 日以内にしてください。

hostname-malformed = 「{ $value }」はホスト名ではありません: { $detail }
hostname-too-long = 「{ $value }」は長すぎます。ホスト名は { $limit } 文字までです。
hostname-label-too-long = 「{ $value }」には長すぎる部分があります。点と点の間は { $limit } 文字までです。
hostname-unqualified = 「{ $value }」は完全修飾名ではありません。mail.example.com のような名前が必要です。
hostname-is-address = 「{ $value }」はアドレスです。mail.example.com のようなホスト名が必要です。
endpoint-malformed = 「{ $value }」は https://ホスト:ポート の形式ではありません。
endpoints-mixed = エンドポイントを複数指定する場合は、すべて IPv4 かすべて IPv6 のアドレスにしてください: { $value }

no-such-account = ユーザーまたはグループ「{ $name }」がこのサーバーにありません。それを提供するパッケージはインストールされていますか。
folder-is-no-folder = { $path } はフォルダーでなければなりませんが、別の種類のファイルがあります。移動してください。
folder-behind-a-link = { $path } は root 所有ではないシンボリックリンクのため、たどりません。
no-previous-generation = { $folder } には戻せる以前の設定がありません。
