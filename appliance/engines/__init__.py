"""The engines that carry the mail, one folder each: templates, render, check, probe.

`base.py` is the interface. `catalogue.py` names every engine the product knows.
"""
