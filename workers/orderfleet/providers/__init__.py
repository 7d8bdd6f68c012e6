"""Payment providers and carriers: their interfaces, their adapters, and which one the settings choose."""
