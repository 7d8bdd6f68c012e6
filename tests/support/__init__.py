"""What several test suites share: real services, proxies, and rows to store."""
