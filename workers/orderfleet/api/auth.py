"""Who may call the API: tokens of a file, or those of an identity provider, and the roles they carry."""
