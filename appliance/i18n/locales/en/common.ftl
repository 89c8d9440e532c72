# Errors of the shared vocabulary and of the parts that every area uses.

bad-group-name = group: “{ $value }” is no group name: 1 to 15 lower-case letters and digits, a letter first
bad-node-name = node: “{ $value }” is no node name: 1 to 63 lower-case letters, digits and inner hyphens
bad-instance-name = instance: “{ $value }” is not of the form ENGINE@GROUP, for example postfix@mail
configuration-refused = { $instance } refuses its new configuration; the one in force stays. Its checker says: { $detail }
probe-failed = The health check { $probe } failed: { $detail }

output-json = Print JSON for programs instead of text for people.
output-nothing = Nothing to show.
output-yes = yes
output-no = no
