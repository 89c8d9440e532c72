# Errors of the shared vocabulary and of the parts that every area uses.

bad-group-name = group：「{ $value }」不是有效的服務群組名稱，應為 1 到 15 個小寫字母或數字，並以字母開頭
bad-node-name = node：「{ $value }」不是有效的節點名稱，應為 1 到 63 個小寫字母、數字或中間的連字號
bad-instance-name = instance：「{ $value }」不符合「引擎@服務群組」的格式，例如 postfix@mail
configuration-refused = { $instance } 拒絕新設定，繼續使用目前的設定。檢查程式的說明：{ $detail }
probe-failed = 健康檢查 { $probe } 失敗：{ $detail }

output-json = 輸出供程式讀取的 JSON，而不是供人閱讀的文字。
output-nothing = 沒有可顯示的內容。
output-yes = 是
output-no = 否
