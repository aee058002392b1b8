"""What keeps a deployed site running: the kinds of services, a file each. See `Services` in
`pytest_winserve.deploy.order`."""
