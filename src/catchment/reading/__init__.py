"""From YAML to values: what catchment.yaml and the contracts say, and every mistake in them with its place."""
