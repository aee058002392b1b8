"""A topology as a folder to be installed on a Windows machine: it runs there without this package.

`shipped/` is what goes into the folder as it is, `templates/` what is filled in.
"""
