init-help = 把本伺服器設為 Posthouse 節點，並等待郵件服務就緒。重複執行沒有副作用。
init-hostname-help = 郵件伺服器和用戶端看到的完整主機名稱，例如 mail.example.com。預設取系統主機名稱。
init-name-help = 本節點的短名稱。預設取主機名稱的第一段。
init-answers-help = 用於無人值守安裝的 YAML 應答檔（hostname、name）。
init-yes-help = 不詢問確認。
init-confirm = 把本伺服器設為郵件伺服器 { $hostname } 嗎？
init-needs-yes = posthouse init 在開始前會詢問，而此處無人可以回答：請用 --yes 確認。
init-done = { $hostname } 的郵件服務已就緒。下一步：posthouse domain create 網域
init-step-accounts = 固定編號的系統帳戶
init-step-default-units = 遮蔽 Debian 預設的郵件服務
init-step-identity = 本節點的身分檔
init-step-keys = 憑證授權單位和金鑰
init-step-units = 啟動 keeper 和代理程式
init-step-sendmail = 系統的 sendmail 使用本郵件伺服器
init-step-desired = 寫入期望狀態
init-busy = 本伺服器上正在執行另一個 posthouse init，請等它結束。
init-not-ready =
    本伺服器暫時不能成為節點，未做任何變更：
    { $findings }
init-needs-root = posthouse init 必須以 root 身分執行。
init-needs-debian-12 = 需要 Debian 12，目前系統是 { $found }。
init-needs-systemd = 系統必須由 systemd 作為 init 執行。
init-needs-time-source = 沒有執行時間同步服務。請啟動：systemctl enable --now chrony
init-foreign-configuration = { $what } 含有他人設定的郵件系統，Posthouse 不會更動它。請使用全新的伺服器，或在確認不需要後移除該設定。
init-port-busy = 連接埠 { $port } 已被其他程式占用。查看：ss -ltnp 'sport = :{ $port }'
init-answers-not-yaml = 應答檔不是有效的 YAML：{ $detail }
init-answers-bad-field = 應答檔中的 { $field } 無效：{ $detail }
init-bad-hostname =
    { $field }：{ $detail }
    請用 --hostname mail.example.com 指定
init-identity-is-set = 本節點的 { $field } 已是 { $old }，init 不會改為 { $value }。
init-not-healthy =
    節點已設定，但並非所有服務都已就緒：
    { $reasons }
    請用 posthouse status 查看進展
init-systemctl-failed = systemctl { $command } 失敗：{ $detail }
gid-taken = 群組編號 { $gid } 需要分配給 { $group }，但已屬於 { $holder }。請先變更 { $holder } 的編號；所有節點的編號必須一致。
uid-taken = 使用者編號 { $uid } 需要分配給 { $user }，但已屬於 { $holder }。請先變更 { $holder } 的編號；所有節點的編號必須一致。
