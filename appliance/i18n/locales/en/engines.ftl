# What engines tell people: notices that go into mailboxes.

quota-notice-sender = Mail system

quota-notice-warning =
    Your mailbox { $address } has reached { $percent }% of its space ({ $quota }).

    When it is full, new messages to you are refused and their senders are told. Please delete
    messages that you no longer need, and empty the folder Trash.
    .subject = Your mailbox is { $percent }% full

quota-notice-full =
    Your mailbox { $address } has used up its space ({ $quota }).

    From now on new messages to you are refused and their senders are told, until there is space
    again. Please delete messages that you no longer need, and empty the folder Trash.
    .subject = Your mailbox is full
domain-copy-failed = The copy of the domain names for Postfix could not be made: { $problem }
edge-address-of-group = edge.addresses: { $address } is an address of group { $group }; the edge leaves it alone
