"""The mail programs people use, driven as people drive them: swaks, curl, msmtp, mbsync, fetchmail, mutt."""
