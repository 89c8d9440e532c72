# posthouse migrate: accounts and mail from other systems.

# --- accounts: what is wrong with a row ---

migrate-no-address = address：空です
migrate-no-domain = address：「{ $value }」にドメインがありません。--domain で指定してください
migrate-bad-quota = quota：「{ $value }」は 500M、2G、バイト数のような容量ではありません
migrate-bad-status = status：「{ $value }」は不明です。active または disabled を使ってください
migrate-deleted-there = status：移行元で削除済みとされています
migrate-cell-too-long = { $column }：{ $maximum } 文字を超えています
migrate-bad-csv = この行は正しい CSV ではありません：{ $detail }
migrate-bad-ldif = このレコードは正しい LDIF ではありません：{ $detail }
migrate-ldif-change = これは変更レコード（{ $change }）で、エントリではありません
migrate-ldif-not-utf8 = { $attribute }：値が UTF-8 ではありません
migrate-row-twice = address：{ $value } は { $first } 行目に既にあります

# --- accounts: what is wrong with a file ---

migrate-not-text = { $field }：{ $line } 行目にヌル文字があります。テキストファイルではありません
migrate-not-decodable = { $field }：{ $line } 行目は { $encodings } のテキストではありません。--encoding で文字コードを指定してください
migrate-unknown-encoding = { $field }：「{ $value }」は知られていない文字コードです
migrate-no-address-column = { $field }：1 行目は列名で、「address」か「メールアドレス」が必要です。今は：{ $heading }
migrate-column-twice = { $field }：{ $meaning } を表す列が 2 つあります。2 つ目は「{ $column }」です
migrate-file-too-large = { $field }：{ $maximum } を超えています。ファイルを分割してください

# --- accounts: notes on a row ---

migrate-weak-hash = パスワードハッシュ（{ $scheme }）は弱いか形式が正しくないため、引き継ぎません。
migrate-no-password = 移行元にパスワードがありません。
migrate-forward-not-brought = { $targets } への転送は移行しません。メールボックスのフィルター規則で設定してください。

# --- mail: what stops a mailbox, or is left out ---

migrate-needs-root = root で実行してください。ほかの人のメールを読むためです。
migrate-inside-volume = { $field }：{ $path } は { $volume } にある製品自身のデータと重なっています。先に移行元を別の場所へコピーしてください
migrate-bad-folder = { $field }：「{ $value }」はフォルダー名として使えません
migrate-group-not-here = このノードはグループ { $group } のボリュームを持っていません。持っているノードで実行してください。参照：posthouse status
migrate-busy = { $address } への移行がほかで実行中です。
migrate-orphan = 以前の実行のプロセス { $pid } が終了しません。
migrate-dovecot-unavailable = Dovecot が { $address } について応答しません：{ $detail }。参照：posthouse status
migrate-dovecot-says = Dovecot からの警告（{ $what }）：{ $detail }
migrate-no-space = ボリュームの空きは { $free } です。{ $needed } 必要です。
migrate-no-maildir = { $path } に Maildir がありません。そこにもその下にも「cur」「new」がありません。
migrate-source-unreadable = { $path } を読めません：{ $detail }
migrate-folder-unreadable = フォルダー { $folder } は移行しませんでした：{ $detail }
migrate-file-unreadable = ファイル { $file } は移行しませんでした：{ $detail }
migrate-link-not-followed = { $path } はシンボリックリンクなので移行しませんでした。
migrate-no-message-file = { $path } は通常のファイルではないので移行しませんでした。
migrate-file-of-somebody-else = { $path } は他人のファイルへのハードリンクなので移行しませんでした。
migrate-mbox-busy = 読み込み中に { $path } が変わり続けます。書き込んでいるプログラムを止めてください。
migrate-not-arrived = { $folder }：{ $count } 通が届いていません。もう一度実行してください。
migrate-tree-empty = { $path } の下に { $layout } に合うものがありません。
migrate-layout-kind = { $field }：「{ $value }」は「maildir:」か「mbox:」で始めてください
migrate-layout-address = { $field }：「{ $value }」には {"{"}local{"}"} か {"{"}address{"}"} が必要です。どの置き換えも 1 回だけ使えます
migrate-layout-domain = { $field }：「{ $value }」からドメインが分かりません。{"{"}domain{"}"} を加えるか --domain で指定してください
migrate-layout-climbs = { $field }：「{ $value }」は PATH の下でなければなりません。「..」と先頭の「/」は使えません

# --- mail: another IMAP server ---

migrate-login-refused = { $server } が { $user } のログインを拒否しました：{ $detail }
migrate-certificate-refused = { $server } の証明書を信頼できません：{ $detail }。--ca で認証局を指定するか、--insecure で検証をやめてください。
migrate-no-tls = { $server } と TLS で通信できません：{ $detail }。--tls と --port を確認してください。
migrate-server-unknown = server：{ $server } が見つかりません：{ $detail }
migrate-server-unavailable = { $server } が応答しません：{ $detail }
migrate-clear-needs-insecure = { $field }：TLS なしではパスワードが平文で { $server } に送られます。よければ --insecure を付けてください
migrate-address-or-list = { $field }：ADDRESS か --accounts FILE のどちらか一方を指定してください
migrate-password-empty = { $field }：空です
migrate-control-character = { $field }：制御文字は使えません
migrate-fetching-failed = { $server } からの取得が止まりました：{ $detail }。届いた分は残っています。もう一度実行すると続きから始まります。
migrate-count-differs = { $folder }：移行元には { $there } 通、取得したのは { $fetched } 通です。もう一度実行してください。
migrate-list-heading = { $field }：1 行目に列名「user」と「password」が必要です（「address」も使えます）。今は：{ $heading }
migrate-list-empty = { $field }：空です
migrate-list-line = リストの { $line } 行目：{ $reason }

# --- mail: notes ---

migrate-folder-renamed = フォルダー { $folder } はここでは { $new } という名前になります。
migrate-too-many-keywords = { $folder }：{ $count } 個のキーワードが失われました。1 つのフォルダーで使えるのは 26 個までです。
migrate-no-mbox = { $path } は mbox ファイルではないので移行しませんでした。
migrate-over-quota = メールボックスは { $used } になり、容量制限 { $limit } を超えました。制限を増やすまで新しいメールを受け取れません。

# --- progress and reports ---

migrate-progress-accounts = { $count } 行、{ $address }
migrate-progress-one = { $address }：{ $text }
migrate-progress-many = { $count } 件中 { $ended } 件が完了。{ $address }：{ $text }
migrate-progress-signing-in = { $server } にログインしています
migrate-progress-fetching = { $wanted } 通中 { $count } 通を取得
migrate-progress-converting = { $count } 個の mbox ファイルを読んでいます
migrate-progress-reading = { $folder } を読んでいます
migrate-progress-delivering = { $count } 通を配信しています
migrate-line-refused = { $line } 行目、{ $address }：{ $reason }
migrate-columns-ignored = 使われない列：{ $columns }
migrate-accounts-done = 作成 { $created }、既存 { $exists }、省略 { $skipped }、拒否 { $refused }。
migrate-dry-run-done = これは試行です。何も変更していません。
migrate-report-written = 報告（生成したパスワードを含む）：{ $path }
migrate-mailbox-complete = { $address }：完了。フォルダー { $folders } 個、{ $messages } 通（{ $size }）を { $seconds } 秒で移行しました。
migrate-mailbox-incomplete = { $address }：未完了、問題 { $problems } 件。フォルダー { $folders } 個、{ $messages } 通（{ $size }）を { $seconds } 秒で移行しました。
migrate-column-folder = フォルダー
migrate-column-there = 移行元
migrate-column-brought = 今回移行
migrate-column-here = ここ
migrate-column-bytes = サイズ
migrate-column-address = アドレス
migrate-column-source = 移行元
migrate-column-ended = 終了
migrate-column-messages = 通数
migrate-column-complete = 完了
migrate-column-space = 使用量
migrate-cleaned = { $address }：削除しました。
migrate-nothing-to-clean = { $address } への移行で残っているものはありません。
migrate-clean-what = { $field }：ADDRESS か --all のどちらか一方を指定してください
migrate-password-prompt = 移行元サーバーのパスワード

# --- help ---

migrate-help = ほかのシステムからアカウントとメールを移行します。もう一度実行すると、続きや新しい分を移行します。
migrate-accounts-help = CSV または LDIF ファイルからアカウントとエイリアスを作成します。既にあるものは変更しません。
migrate-domain-help = ドメインのない名前に付けるドメイン。
migrate-create-domains-help = 足りないドメインを作成します。
migrate-skip-help = パスワードを引き継げないアカウントは、生成せずに作成を省きます。
migrate-dry-run-help = 確認だけして何も変更しません。
migrate-accounts-report-help = 各行の結果を書くファイル（CSV、拡張子により JSON）。本人だけが読めます。既定は /var/lib/posthouse/migration の下。
migrate-encoding-help = ファイルの文字コード（例：big5）。既定は UTF-8、違えば GB18030。
migrate-maildir-help = Maildir の PATH とそのフォルダーをメールボックス ADDRESS に移行します。
migrate-mbox-help = mbox ファイル PATH、またはフォルダー PATH の中のすべてをメールボックス ADDRESS に移行します。
migrate-folder-help = 1 つのファイルを入れるフォルダー。既定は INBOX。
migrate-tree-help = PATH の下にある多数のメールボックスを移行します。
migrate-layout-help = 各メールボックスの PATH からの位置。maildir: か mbox: の後に、{"{"}domain{"}"}、{"{"}local{"}"}、{"{"}address{"}"}、* を含むパスを書きます。
migrate-parallel-help = 同時に扱うメールボックスの数。
migrate-exclude-help = 移行しないフォルダー（その下も）。繰り返し指定できます。
migrate-report-help = 報告を書くファイル（JSON）。
migrate-imap-help = ほかの IMAP サーバーからメールボックス全体を移行します。移行元は変更しません。--password-stdin も --accounts もなければパスワードを尋ねます。
migrate-server-help = 移行元のサーバー。
migrate-port-help = ポート。既定は imaps なら 993、そのほかは 143。
migrate-tls-help = 接続の保護方法。
migrate-ca-help = 証明書の検証に使う認証局。
migrate-insecure-help = どの証明書でも、また TLS なしの接続でも受け入れます。
migrate-user-help = 移行元のユーザー名。既定は ADDRESS。
migrate-password-stdin-help = 標準入力の 1 行目からパスワードを読みます。
migrate-list-help = user、password、address の列を持つ CSV ファイル。多数をまとめて移行します。
migrate-status-help = 移行の一覧と、まだ使っているボリュームの容量を表示します。
migrate-group-help = サービスグループ。
migrate-clean-help = ADDRESS への移行が次回のために残しているものを削除します。移行したメールは残ります。
migrate-clean-all-help = すべてのメールボックスについて行います。
