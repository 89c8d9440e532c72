# ディレクトリ：ドメイン、メールボックス、エイリアス。

directory-unavailable = ディレクトリが応答しません：{ $detail }。変更されたかどうか確認できません。後でもう一度試してください。
directory-refused = ディレクトリが操作を拒否しました：{ $detail }
directory-not-allowed = このアカウントではディレクトリを管理できません。root で実行してください。ディレクトリの応答：{ $detail }
directory-seed-failed = ディレクトリの最初のエントリを読み込めませんでした：{ $detail }
