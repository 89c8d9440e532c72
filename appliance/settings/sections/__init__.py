"""The parameters, one module per section.

Registering one is one entry here and its texts in the four `settings.ftl`:

    setting-smtp-recipient-limit = Recipients per message
        .help = A message with more recipients is …
"""
