# The keeper: what it records of groups, and what its jobs say

event-group-taken = Group { $group } is served by { $node } now (epoch { $epoch }; why it could be taken: { $basis }).
event-group-stopping = Group { $group } is wanted elsewhere and is being stopped on { $node }.
event-group-handed-over = Group { $group } was stopped on { $node } and given to { $to }.
event-group-given-up = Group { $group } was stopped on { $node } and belongs to no node now.
event-group-dropped = Group { $group } was ended at once on { $node }: { $reason ->
     [deadline_passed] the session could not be renewed in time.
     [session_taken] its session was taken away.
     [storage_key_lost] a storage fence shut it out.
     [record_changed] the group belongs to another node.
     [confirmation_refused] the group belongs to another node by now.
     [confirmation_unanswered] the store did not answer.
     [stop_hangs] it could not be stopped: its volume hangs, or a process of it.
     [watchdog_too_slow] the watchdog cannot be armed as the timing wants it.
    *[other] { $reason }.
}

work-ended = The job "{ $job }" did not end in time, or its process died.
work-crashed = The job "{ $job }" failed in a way that was not foreseen: { $detail }
storage-key-lost = A volume of group { $group } takes no more writes of this node: a storage fence shut it out.
volume-left-mounted = { $path } is still mounted, and nobody noted for which group.
