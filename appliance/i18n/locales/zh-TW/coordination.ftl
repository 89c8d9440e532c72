# 節點檔案與協調儲存

node-file-missing = 本伺服器尚未初始化：{ $path } 不存在。請先執行「posthouse init」。
node-file-unreadable = 無法讀取 { $path }：{ $detail }
node-file-not-yaml = { $path } 不是有效的 YAML：{ $detail }
node-file-not-a-mapping = { $path } 的內容必須由下列欄位組成：name、hostname、roles、store。
node-file-bad-field = { $path } 的欄位 { $field } 有誤：{ $detail }

store-no-answer = 協調儲存（{ $endpoints }）在 { $seconds } 秒內沒有回應：{ $detail }
store-unreachable = 在 { $seconds } 秒內無法連線到協調儲存（{ $endpoints }）：{ $detail }
store-refused = 協調儲存（{ $endpoints }）拒絕了要求：{ $detail }
store-full = 協調儲存（{ $endpoints }）已達容量上限，不再接受寫入：{ $detail }
store-closed = 與協調儲存的連線已關閉。
store-compacted = 協調儲存的版本 { $revision } 已被清除，監看者必須重新讀取全部資料。
store-keys-unreadable = 無法讀取存取協調儲存所需的金鑰（{ $path }：{ $detail }）。請以 root 身分執行此命令。
join-token-refused = 加入權杖不存在、已被使用或已過期；請在叢集中的一台伺服器上重新產生。
join-token-lifetime = 加入權杖的有效期必須大於零，且不超過 { $days } 天。

hostname-malformed = 「{ $value }」不是主機名稱：{ $detail }
hostname-too-long = 「{ $value }」太長：主機名稱最多 { $limit } 個字元。
hostname-label-too-long = 「{ $value }」中有一段太長：兩個點之間最多 { $limit } 個字元。
hostname-unqualified = 「{ $value }」不是完整網域名稱：郵件主機名稱應類似 mail.example.com。
hostname-is-address = 「{ $value }」是位址；此處需要類似 mail.example.com 的主機名稱。
endpoint-malformed = 「{ $value }」不符合 https://主機:連接埠 的格式。
endpoints-mixed = 多個端點必須是同一類 IP 位址，全部為 IPv4 或全部為 IPv6：{ $value }

no-such-account = 本伺服器上沒有使用者或群組「{ $name }」；提供它的套件是否已安裝？
folder-is-no-folder = { $path } 應為資料夾，但目前是其他類型的檔案；請將其移走。
folder-behind-a-link = { $path } 是不屬於 root 的符號連結，系統不會跟隨它。
no-previous-generation = { $folder } 中沒有可以還原的舊設定。
