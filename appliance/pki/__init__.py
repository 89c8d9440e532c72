"""The installation's own certificate authority, and the certificates of a node.

`authority` issues, `pairs` keeps key pairs on disk so that a certificate and its key
always match, `upkeep` makes what is missing and renews what is due, `operator` judges
and installs the certificate that an operator brings for mail.
"""
