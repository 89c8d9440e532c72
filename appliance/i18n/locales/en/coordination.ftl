# The node file and the coordination store.

node-file-missing = This server has not been set up: { $path } does not exist. Run "posthouse init" first.
node-file-unreadable = { $path } cannot be read: { $detail }
node-file-not-yaml = { $path } is not valid YAML: { $detail }
node-file-not-a-mapping = { $path } has to be a list of fields: name, hostname, roles, store.
node-file-bad-field = { $path }, field { $field }: { $detail }

store-no-answer = The coordination store ({ $endpoints }) did not answer within { $seconds } s: { $detail }
store-unreachable = No connection to the coordination store ({ $endpoints }) within { $seconds } s: { $detail }
store-refused = The coordination store ({ $endpoints }) refused the request: { $detail }
store-full = The coordination store ({ $endpoints }) has reached its size limit and accepts no more writes: { $detail }
store-closed = The connection to the coordination store is closed.
store-compacted = Revision { $revision } of the coordination store is gone; the watcher has to read everything again.
store-keys-unreadable = The keys for the coordination store cannot be read ({ $path }: { $detail }). Run the command as root.
join-token-refused = The join token is unknown, already used or expired; make a new one on a server of the cluster.
join-token-lifetime = A join token is valid for at most { $days } days, and for some time.

hostname-malformed = "{ $value }" is not a host name: { $detail }
hostname-too-long = "{ $value }" is too long: a host name has at most { $limit } characters.
hostname-label-too-long = "{ $value }" has a part that is too long: between two dots stand at most { $limit } characters.
hostname-unqualified = "{ $value }" is not fully qualified: a mail host name looks like mail.example.com.
hostname-is-address = "{ $value }" is an address; a host name like mail.example.com is needed.
endpoint-malformed = "{ $value }" is not of the form https://HOST:PORT.
endpoints-mixed = Several endpoints have to be IP addresses of one family, all IPv4 or all IPv6: { $value }

no-such-account = The user or group "{ $name }" does not exist on this server; is the package that brings it installed?
folder-is-no-folder = { $path } has to be a folder, but it is something else; move it away.
folder-behind-a-link = { $path } is a symbolic link that does not belong to root; it is not followed.
no-previous-generation = { $folder } holds no earlier configuration to go back to.
