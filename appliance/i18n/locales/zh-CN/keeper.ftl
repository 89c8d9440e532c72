# keeper：它记录的服务组事件，以及其作业给出的信息

event-group-taken = 服务组 { $group } 现由 { $node } 提供服务（纪元 { $epoch }；可接管的依据：{ $basis }）。
event-group-stopping = 服务组 { $group } 需移往别处，正在 { $node } 上停止。
event-group-handed-over = 服务组 { $group } 已在 { $node } 上停止，并交给 { $to }。
event-group-given-up = 服务组 { $group } 已在 { $node } 上停止，目前不属于任何节点。
event-group-dropped = 服务组 { $group } 在 { $node } 上被立即终止：{ $reason ->
     [deadline_passed] 会话未能及时续期。
     [session_taken] 其会话已被取走。
     [storage_key_lost] 已被存储隔离拒之门外。
     [record_changed] 该组已属于另一个节点。
     [confirmation_refused] 该组此时已属于另一个节点。
     [confirmation_unanswered] 协调存储没有应答。
     [stop_hangs] 无法停止：其卷或其某个进程挂起。
     [watchdog_too_slow] 看门狗无法按时间参数的要求启用。
    *[other] { $reason }。
}

work-ended = 作业“{ $job }”未能及时结束，或其进程已终止。
work-crashed = 作业“{ $job }”以意外的方式失败：{ $detail }
storage-key-lost = 服务组 { $group } 的一个卷不再接受本节点的写入：存储隔离已将其拒之门外。
volume-left-mounted = { $path } 仍处于挂载状态，且没有记录它属于哪个服务组。
