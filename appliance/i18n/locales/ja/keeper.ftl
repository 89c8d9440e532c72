# keeper：グループについて記録すること、およびジョブが伝えること

event-group-taken = グループ { $group } は現在 { $node } が提供しています（エポック { $epoch }、引き継げた根拠: { $basis }）。
event-group-stopping = グループ { $group } は別の場所へ移すため、{ $node } で停止中です。
event-group-handed-over = グループ { $group } は { $node } で停止し、{ $to } に渡されました。
event-group-given-up = グループ { $group } は { $node } で停止し、現在どのノードにも属していません。
event-group-dropped = グループ { $group } は { $node } で直ちに終了されました: { $reason ->
     [deadline_passed] セッションを期限内に更新できませんでした。
     [session_taken] セッションが取り上げられました。
     [storage_key_lost] ストレージのフェンスによって締め出されました。
     [record_changed] グループは別のノードに属しています。
     [confirmation_refused] グループはすでに別のノードに属しています。
     [confirmation_unanswered] ストアが応答しませんでした。
     [stop_hangs] 停止できませんでした。ボリュームまたはプロセスが応答しません。
     [watchdog_too_slow] ウォッチドッグをタイミング設定どおりに起動できません。
    *[other] { $reason }。
}

work-ended = ジョブ「{ $job }」が時間内に終わらなかったか、そのプロセスが終了しました。
work-crashed = ジョブ「{ $job }」が予期しない形で失敗しました: { $detail }
storage-key-lost = グループ { $group } のボリュームはこのノードの書き込みを受け付けなくなりました。ストレージのフェンスによって締め出されています。
volume-left-mounted = { $path } がまだマウントされていますが、どのグループのものか記録がありません。
