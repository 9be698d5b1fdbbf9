"""Virtual machines of e2b.dev as a sandbox: programs run in the cloud, away from this machine."""
