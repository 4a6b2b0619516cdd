"""Recipe: a synthesis task as validated data, one TOML file."""
