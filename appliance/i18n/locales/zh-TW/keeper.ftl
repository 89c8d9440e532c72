# keeper：它記錄的服務群組事件，以及其工作給出的訊息

event-group-taken = 服務群組 { $group } 現由 { $node } 提供服務（紀元 { $epoch }；可接管的依據：{ $basis }）。
event-group-stopping = 服務群組 { $group } 需移往別處，正在 { $node } 上停止。
event-group-handed-over = 服務群組 { $group } 已在 { $node } 上停止，並交給 { $to }。
event-group-given-up = 服務群組 { $group } 已在 { $node } 上停止，目前不屬於任何節點。
event-group-dropped = 服務群組 { $group } 在 { $node } 上被立即終止：{ $reason ->
     [deadline_passed] 工作階段未能及時續期。
     [session_taken] 其工作階段已被取走。
     [storage_key_lost] 已被儲存隔離拒於門外。
     [record_changed] 該群組已屬於另一個節點。
     [confirmation_refused] 該群組此時已屬於另一個節點。
     [confirmation_unanswered] 協調儲存沒有回應。
     [stop_hangs] 無法停止：其磁碟區或其某個行程停滯。
     [watchdog_too_slow] 看門狗無法依時間參數的要求啟用。
    *[other] { $reason }。
}

work-ended = 工作「{ $job }」未能及時結束，或其行程已終止。
work-crashed = 工作「{ $job }」以未預期的方式失敗：{ $detail }
storage-key-lost = 服務群組 { $group } 的一個磁碟區不再接受本節點的寫入：儲存隔離已將其拒於門外。
volume-left-mounted = { $path } 仍處於掛載狀態，且沒有記錄它屬於哪個服務群組。
