init-help = このサーバーを Posthouse ノードにし、メールが動くまで待ちます。再実行しても害はありません。
init-hostname-help = メールサーバーとクライアントに見える完全修飾ホスト名（例 mail.example.com）。既定はシステムの名前。
init-name-help = このノードの短い名前。既定はホスト名の最初のラベル。
init-answers-help = 無人実行用の回答を書いた YAML ファイル（hostname、name）。
init-yes-help = 確認を求めません。
init-confirm = このサーバーをメールサーバー { $hostname } にしますか？
init-needs-yes = posthouse init は開始前に確認を求めますが、ここでは応答できません。--yes で確認してください。
init-done = { $hostname } でメールが動いています。次は: posthouse domain create ドメイン
init-step-accounts = 固定 ID のアカウント
init-step-default-units = Debian 既定のメールサービスを無効化
init-step-identity = このノードの識別情報
init-step-keys = 認証局と鍵
init-step-units = keeper とエージェントを起動
init-step-sendmail = システムの sendmail がこのメールサーバーを使う
init-step-desired = あるべき状態をストアに記録
init-busy = このサーバーでは別の posthouse init が動いています。終わるまでお待ちください。
init-not-ready =
    このサーバーはまだノードになれません。何も変更していません:
    { $findings }
init-needs-root = posthouse init は root で実行してください。
init-needs-debian-12 = Debian 12 が必要です。このシステムは { $found } です。
init-needs-systemd = systemd が init として動いている必要があります。
init-needs-time-source = 時刻同期サービスが動いていません。起動してください: systemctl enable --now chrony
init-foreign-configuration = { $what } に別のメールシステムの設定があります。Posthouse はこれに触れません。新しいサーバーを使うか、不要なら設定を取り除いてください。
init-port-busy = ポート { $port } は他のプログラムが使用中です。確認: ss -ltnp 'sport = :{ $port }'
init-answers-not-yaml = 回答ファイルが YAML ではありません: { $detail }
init-answers-bad-field = 回答ファイルの { $field } は受け付けられません: { $detail }
init-bad-hostname =
    { $field }: { $detail }
    --hostname mail.example.com のように指定してください
init-identity-is-set = このノードの { $field } は { $old } です。init は { $value } に変更しません。
init-not-healthy =
    ノードは設定されましたが、まだ動いていないものがあります:
    { $reasons }
    posthouse status で確認してください
init-systemctl-failed = systemctl { $command } に失敗しました: { $detail }
gid-taken = グループ ID { $gid } は { $group } に必要ですが { $holder } が使っています。先に { $holder } の番号を変えてください。ID は全ノードで同じでなければなりません。
uid-taken = ユーザー ID { $uid } は { $user } に必要ですが { $holder } が使っています。先に { $holder } の番号を変えてください。ID は全ノードで同じでなければなりません。
