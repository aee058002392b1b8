"""A virtual machine that Vagrant keeps: its life, and what is put into it."""
