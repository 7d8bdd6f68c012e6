"""Payment providers and carriers: their interfaces, their adapters, and the registry that the settings choose from."""
