"""What the domain name system says about a mail domain, and what it should say (P20).

`lookup` asks resolvers, `facts` gathers what matters, `evaluate` (pure) compares it with
what this server needs, `spf` judges a sender policy as receivers will (RFC 7208).
"""
