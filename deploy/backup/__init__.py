"""`make backup` and `make restore`: the data of a stack in one folder, taken while orders flow, and put back.

What is copied when, and why the parts fit together, is in docs/decisions/0018-a-backup-is-taken-against-the-flow.md.
"""
