"""From raw volumes to the arrays, lists and descriptions that training reads.

`engine` does the work; one module per dataset says where the files are and what is done to them.
"""
