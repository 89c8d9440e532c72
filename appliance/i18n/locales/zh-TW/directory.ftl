# 目錄：網域、信箱、別名。

directory-unavailable = 目錄服務沒有回應：{ $detail }。無法確認是否有任何變更，請稍後再試。
directory-refused = 目錄服務拒絕了操作：{ $detail }
directory-not-allowed = 目前的帳號無權管理目錄，請以 root 身分執行此命令。目錄服務的回覆：{ $detail }
directory-seed-failed = 無法載入目錄的初始項目：{ $detail }
