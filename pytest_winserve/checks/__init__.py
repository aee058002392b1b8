"""The stock checks: what `winserve check` runs. They are ordinary tests:

    pytest --pyargs pytest_winserve.checks --winserve-topology=nginx4

They confirm that a topology does what its server declares; what a user demands beyond that is
said with `--winserve-require`.
"""
