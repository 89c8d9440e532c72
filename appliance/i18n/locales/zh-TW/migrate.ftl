# posthouse migrate: accounts and mail from other systems.

# --- accounts: what is wrong with a row ---

migrate-no-address = address：地址是空的
migrate-no-domain = address：「{ $value }」沒有網域；請用 --domain 指定
migrate-bad-quota = quota：「{ $value }」不是有效的容量，例如 500M、2G 或位元組數
migrate-bad-status = status：無法辨識「{ $value }」；請使用 active 或 disabled
migrate-deleted-there = status：此帳號在原系統中已標記為刪除
migrate-cell-too-long = { $column }：超過 { $maximum } 個字元
migrate-bad-csv = 此列不是格式正確的 CSV：{ $detail }
migrate-bad-ldif = 此項目不是格式正確的 LDIF：{ $detail }
migrate-ldif-change = 這是一筆變更記錄（{ $change }），不是項目
migrate-ldif-not-utf8 = { $attribute }：值不是 UTF-8
migrate-row-twice = address：{ $value } 已在第 { $first } 行出現

# --- accounts: what is wrong with a file ---

migrate-not-text = { $field }：第 { $line } 行含有零位元組，這不是文字檔
migrate-not-decodable = { $field }：第 { $line } 行不是 { $encodings } 編碼的文字；請用 --encoding 指定檔案編碼
migrate-unknown-encoding = { $field }：「{ $value }」不是已知的編碼
migrate-no-address-column = { $field }：第一行必須是欄位名稱，其中要有「address」或「信箱」；目前是：{ $heading }
migrate-column-twice = { $field }：有兩欄都表示 { $meaning }，第二欄是「{ $column }」
migrate-file-too-large = { $field }：超過 { $maximum }；請分割檔案

# --- accounts: notes on a row ---

migrate-weak-hash = 其密碼雜湊（{ $scheme }）強度不足或格式不正確，未予保留。
migrate-no-password = 來源中沒有密碼。
migrate-forward-not-brought = 未移轉到 { $targets } 的轉寄；請在信箱的篩選規則中設定。

# --- mail: what stops a mailbox, or is left out ---

migrate-needs-root = 必須以 root 身分執行：此命令會讀取他人的郵件。
migrate-inside-volume = { $field }：{ $path } 與本產品在 { $volume } 的資料重疊；請先把來源複製到別處
migrate-bad-folder = { $field }：「{ $value }」不是有效的資料夾名稱
migrate-group-not-here = 本節點沒有掛載服務群組 { $group } 的磁碟區；請在擁有該磁碟區的節點上執行。參見：posthouse status
migrate-busy = 另一個移轉到 { $address } 的工作正在進行。
migrate-orphan = 先前執行留下的程序 { $pid } 無法結束。
migrate-dovecot-unavailable = Dovecot 沒有回應對 { $address } 的查詢：{ $detail }。參見：posthouse status
migrate-dovecot-says = Dovecot 回報問題（{ $what }）：{ $detail }
migrate-no-space = 磁碟區剩餘 { $free }，需要 { $needed }。
migrate-no-maildir = { $path } 中沒有 Maildir：它及其子資料夾中都沒有「cur」或「new」。
migrate-source-unreadable = 無法讀取 { $path }：{ $detail }
migrate-folder-unreadable = 資料夾 { $folder } 未移轉：{ $detail }
migrate-file-unreadable = 檔案 { $file } 未移轉：{ $detail }
migrate-link-not-followed = { $path } 是符號連結，未移轉。
migrate-no-message-file = { $path } 不是一般檔案，未移轉。
migrate-file-of-somebody-else = { $path } 是指向他人檔案的硬連結，未移轉。
migrate-mbox-busy = 讀取期間 { $path } 一直在變化；請停止正在寫入它的程式。
migrate-not-arrived = { $folder }：有 { $count } 封郵件未送達；請再次執行此命令。
migrate-tree-empty = { $path } 下沒有符合 { $layout } 的內容。
migrate-layout-kind = { $field }：「{ $value }」必須以「maildir:」或「mbox:」開頭
migrate-layout-address = { $field }：「{ $value }」必須含有 {"{"}local{"}"} 或 {"{"}address{"}"}，每個預留位置只能出現一次
migrate-layout-domain = { $field }：「{ $value }」沒有指明網域；請加入 {"{"}domain{"}"} 或使用 --domain
migrate-layout-climbs = { $field }：「{ $value }」必須位於 PATH 之下：不能含「..」，不能以「/」開頭

# --- mail: another IMAP server ---

migrate-login-refused = { $server } 拒絕 { $user } 登入：{ $detail }
migrate-certificate-refused = 不信任 { $server } 的憑證：{ $detail }。請用 --ca 指定其簽發機構，或用 --insecure 接受任何憑證。
migrate-no-tls = { $server } 沒有依要求使用 TLS：{ $detail }。參見 --tls 和 --port。
migrate-server-unknown = server：找不到 { $server }：{ $detail }
migrate-server-unavailable = { $server } 沒有回應：{ $detail }
migrate-clear-needs-insecure = { $field }：不使用 TLS 時，密碼會以明文傳送到 { $server }；如可接受，請加 --insecure
migrate-address-or-list = { $field }：請指定一個 ADDRESS，或使用 --accounts FILE
migrate-password-empty = { $field }：是空的
migrate-control-character = { $field }：不允許使用控制字元
migrate-fetching-failed = 從 { $server } 取得郵件中斷：{ $detail }。已取得的部分會保留；再次執行此命令即可繼續。
migrate-count-differs = { $folder }：對方伺服器有 { $there } 封郵件，已取得 { $fetched } 封；請再次執行此命令。
migrate-list-heading = { $field }：第一行必須有欄位名稱「user」和「password」，還可以有「address」；目前是：{ $heading }
migrate-list-empty = { $field }：是空的
migrate-list-line = 清單第 { $line } 行：{ $reason }

# --- mail: notes ---

migrate-folder-renamed = 資料夾 { $folder } 在這裡命名為 { $new }。
migrate-too-many-keywords = { $folder }：遺失了 { $count } 個關鍵字標記；一個資料夾最多 26 個。
migrate-no-mbox = { $path } 不是 mbox 檔案，未移轉。
migrate-over-quota = 信箱目前佔用 { $used }，超過配額 { $limit }：在提高配額之前無法接收新郵件。

# --- progress and reports ---

migrate-progress-accounts = { $count } 列，{ $address }
migrate-progress-one = { $address }：{ $text }
migrate-progress-many = 已完成 { $ended }/{ $count } 個信箱。{ $address }：{ $text }
migrate-progress-signing-in = 正在登入 { $server }
migrate-progress-fetching = 已取得 { $count }/{ $wanted } 封郵件
migrate-progress-converting = 正在讀取 { $count } 個 mbox 檔案
migrate-progress-reading = 正在讀取 { $folder }
migrate-progress-delivering = 正在投遞 { $count } 封郵件
migrate-line-refused = 第 { $line } 行，{ $address }：{ $reason }
migrate-columns-ignored = 未使用的欄位：{ $columns }
migrate-accounts-done = 建立 { $created }，已存在 { $exists }，略過 { $skipped }，拒絕 { $refused }。
migrate-dry-run-done = 這是試執行，沒有變更任何內容。
migrate-report-written = 報告（含產生的密碼）：{ $path }
migrate-mailbox-complete = { $address }：已完成。{ $folders } 個資料夾，移入 { $messages } 封郵件（{ $size }），花費 { $seconds } 秒。
migrate-mailbox-incomplete = { $address }：未完成，有 { $problems } 個問題。{ $folders } 個資料夾，移入 { $messages } 封郵件（{ $size }），花費 { $seconds } 秒。
migrate-column-folder = 資料夾
migrate-column-there = 來源
migrate-column-brought = 本次移入
migrate-column-here = 本地
migrate-column-bytes = 大小
migrate-column-address = 地址
migrate-column-source = 來源
migrate-column-ended = 結束時間
migrate-column-messages = 郵件數
migrate-column-complete = 已完成
migrate-column-space = 佔用空間
migrate-cleaned = { $address }：已清除。
migrate-nothing-to-clean = 沒有移轉到 { $address } 的遺留資料。
migrate-clean-what = { $field }：請指定一個 ADDRESS，或使用 --all
migrate-password-prompt = 對方伺服器上的密碼

# --- help ---

migrate-help = 從其他系統移入帳號和郵件。再次執行命令可以繼續，或移入其後的新內容。
migrate-accounts-help = 根據 CSV 或 LDIF 檔案建立帳號和別名。已存在的保持不變。
migrate-domain-help = 沒有網域的帳號所屬的網域。
migrate-create-domains-help = 建立缺少的網域。
migrate-skip-help = 密碼無法保留的帳號不建立，而不是產生新密碼。
migrate-dry-run-help = 只檢查，不作任何變更。
migrate-accounts-report-help = 記錄每列結果的檔案（CSV，或依副檔名為 JSON），僅您可讀。預設位於 /var/lib/posthouse/migration。
migrate-encoding-help = 檔案的編碼，例如 big5。預設：UTF-8，否則 GB18030。
migrate-maildir-help = 把 Maildir PATH 及其資料夾移入信箱 ADDRESS。
migrate-mbox-help = 把 mbox 檔案 PATH（或資料夾 PATH 中的所有 mbox 檔案）移入信箱 ADDRESS。
migrate-folder-help = 單一檔案移入的資料夾。預設：INBOX。
migrate-tree-help = 移入 PATH 下的多個信箱。
migrate-layout-help = 每個信箱在 PATH 下的位置：maildir: 或 mbox:，其後是含 {"{"}domain{"}"}、{"{"}local{"}"}、{"{"}address{"}"} 和 * 的路徑。
migrate-parallel-help = 同時處理的信箱數。
migrate-exclude-help = 不移轉的資料夾（含其子資料夾）；可重複使用。
migrate-report-help = 報告檔案（JSON）。
migrate-imap-help = 從其他 IMAP 伺服器移入整個信箱，不變更對方內容。若未使用 --password-stdin 或 --accounts，則會詢問密碼。
migrate-server-help = 對方伺服器。
migrate-port-help = 連接埠。預設：imaps 為 993，否則為 143。
migrate-tls-help = 連線的保護方式。
migrate-ca-help = 用於驗證其憑證的受信任機構。
migrate-insecure-help = 接受任何憑證以及不使用 TLS 的連線。
migrate-user-help = 對方的使用者名稱。預設：ADDRESS。
migrate-password-stdin-help = 從標準輸入的第一行讀取密碼。
migrate-list-help = 含 user、password、address 欄的 CSV 檔案：一次移轉多個信箱。
migrate-status-help = 列出移轉工作及其在磁碟區上仍佔用的空間。
migrate-group-help = 服務群組。
migrate-clean-help = 清除移轉到 ADDRESS 的工作為後續執行保留的資料。已移入的郵件不受影響。
migrate-clean-all-help = 清除所有信箱的資料。
